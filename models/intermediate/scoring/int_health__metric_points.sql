-- How many of the account's points each metric brought. The points of an account add up to its
-- score: each is its share of the category's score times the category's share of the account's.
-- Read by one model alone, which keeps these rows.
{{ config(materialized='view') }}

with

metric_scores as (select * from {{ ref('int_health__metric_scores') }}),

category_scores as (select * from {{ ref('int_health__category_scores') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

account_scores as (
    select *
    from {{ ref('int_health__account_scores') }}
    where as_of_date >= (select min(build_dates.as_of_date) from build_dates)
),

category_shares as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        category_key,
        category_score,
        known_metric_weight,
        applicable_metric_weight,
        case
            when category_score is not null
                then {{ customer_health.safe_divide(
                    'category_weight',
                    customer_health.exact_sum(
                        'case when category_score is not null then category_weight end',
                        over='partition by account_id, as_of_date, scoring_version, scorecard_key'
                    )
                ) }}
        end as category_share
    from category_scores
),

final as (
    select
        metric_scores.account_id,
        metric_scores.as_of_date,
        metric_scores.scoring_version,
        metric_scores.scorecard_key,
        account_scores.purpose,
        account_scores.is_in_force,
        metric_scores.category_key,
        metric_scores.metric_key,
        metric_scores.category_weight,
        metric_scores.metric_weight,
        metric_scores.metric_value,
        metric_scores.observed_at,
        metric_scores.sample_size,
        metric_scores.value_state,
        metric_scores.tenure_days,
        metric_scores.metric_score,
        metric_scores.is_data_incident,
        metric_scores.reported_value,
        metric_scores.is_known,
        case
            when metric_scores.is_applicable
                then metric_scores.category_weight * {{ customer_health.safe_divide(
                    'metric_scores.metric_weight', 'category_shares.applicable_metric_weight'
                ) }}
        end as effective_weight,
        category_shares.category_score,
        case
            when metric_scores.is_known and account_scores.health_score_exact is not null
                then 10 * category_shares.category_share * {{ customer_health.safe_divide(
                    'metric_scores.metric_weight * metric_scores.metric_score',
                    'category_shares.known_metric_weight'
                ) }}
        end as metric_points,
        case
            when metric_scores.is_known and account_scores.health_score_exact is not null
                then 100 * category_shares.category_share * {{ customer_health.safe_divide(
                    'metric_scores.metric_weight', 'category_shares.known_metric_weight'
                ) }}
        end as most_points
    from metric_scores
    inner join category_shares
        on
            metric_scores.account_id = category_shares.account_id
            and metric_scores.as_of_date = category_shares.as_of_date
            and metric_scores.scoring_version = category_shares.scoring_version
            and metric_scores.scorecard_key = category_shares.scorecard_key
            and metric_scores.category_key = category_shares.category_key
    inner join account_scores
        on
            metric_scores.account_id = account_scores.account_id
            and metric_scores.as_of_date = account_scores.as_of_date
            and metric_scores.scoring_version = account_scores.scoring_version
            and metric_scores.scorecard_key = account_scores.scorecard_key
)

select * from final
