{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    tags=['customer_health_history']
) }}

with

assignments as (select * from {{ ref('int_health__scorecard_assignments') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

scorecards as (select * from {{ ref('scorecards') }}),

category_scores as (select * from {{ ref('int_health__category_scores') }}),

metrics as (select * from {{ ref('metrics') }}),

-- the category that churn probability belongs to: in a backtest it is circular
categories as (
    select
        category_scores.*,
        metrics.metric_key is null as is_without_churn_risk
    from category_scores
    left join metrics
        on
            category_scores.scoring_version = metrics.scoring_version
            and category_scores.category_key = metrics.category_key
            and metrics.metric_key = 'churn_probability'
),

category_totals as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        10 * {{ customer_health.safe_divide(
            customer_health.exact_sum('category_weight * category_score'),
            customer_health.exact_sum(
                'case when category_score is not null then category_weight end'
            )
        ) }} as score,
        10 * {{ customer_health.safe_divide(
            customer_health.exact_sum(
                'case when is_without_churn_risk then category_weight * category_score end'
            ),
            customer_health.exact_sum(
                'case when is_without_churn_risk and category_score is not null'
                ~ ' then category_weight end'
            )
        ) }} as score_without_churn_risk,
        {{ customer_health.safe_divide(
            customer_health.exact_sum('category_weight * category_coverage'),
            customer_health.exact_sum(
                'case when category_coverage is not null then category_weight end'
            )
        ) }} as coverage,
        10 * {{ customer_health.safe_divide(
            customer_health.exact_sum('category_weight * category_score_low'),
            customer_health.exact_sum(
                'case when category_score_low is not null then category_weight end'
            )
        ) }} as score_low,
        10 * {{ customer_health.safe_divide(
            customer_health.exact_sum('category_weight * category_score_high'),
            customer_health.exact_sum(
                'case when category_score_high is not null then category_weight end'
            )
        ) }} as score_high,
        {{ customer_health.safe_divide(
            customer_health.exact_sum('category_weight * connected_metric_weight'),
            customer_health.exact_sum('category_weight * total_metric_weight')
        ) }} as connected_weight,
        sum(known_metric_count) as known_metric_count,
        sum(applicable_metric_count) as applicable_metric_count,
        {{ dbt.bool_or('has_data_incident') }} as has_data_incident
    from categories
    group by 1, 2, 3, 4
),

rounded as (
    select
        assignments.account_id,
        assignments.as_of_date,
        build_dates.day_number,
        assignments.scoring_version,
        assignments.scorecard_key,
        assignments.purpose,
        assignments.is_in_force,
        scorecards.min_coverage,
        {{ customer_health.round_score('category_totals.score') }} as score,
        {{ customer_health.round_score('category_totals.score_without_churn_risk') }}
            as score_without_churn_risk,
        {{ customer_health.round_score('category_totals.coverage') }} as coverage,
        {{ customer_health.round_score('category_totals.connected_weight') }} as connected_weight,
        {{ customer_health.round_score('category_totals.score_low') }} as score_low,
        {{ customer_health.round_score('category_totals.score_high') }} as score_high,
        category_totals.known_metric_count,
        category_totals.applicable_metric_count,
        coalesce(category_totals.has_data_incident, false) as has_data_incident
    from assignments
    inner join build_dates
        on assignments.as_of_date = build_dates.as_of_date
    inner join scorecards
        on
            assignments.scoring_version = scorecards.scoring_version
            and assignments.scorecard_key = scorecards.scorecard_key
    left join category_totals
        on
            assignments.account_id = category_totals.account_id
            and assignments.as_of_date = category_totals.as_of_date
            and assignments.scoring_version = category_totals.scoring_version
            and assignments.scorecard_key = category_totals.scorecard_key
),

final as (
    select  -- noqa: ST06
        account_id,
        as_of_date,
        day_number,
        scoring_version,
        scorecard_key,
        purpose,
        is_in_force,
        case when coverage >= min_coverage then score end as health_score_exact,
        case when coverage >= min_coverage then cast(floor(score + 0.5) as bigint) end
            as health_score,
        case when coverage >= min_coverage then score_without_churn_risk end
            as score_without_churn_risk,
        coverage,
        connected_weight,
        score_low,
        score_high,
        cast(known_metric_count as bigint) as known_metric_count,
        cast(applicable_metric_count as bigint) as applicable_metric_count,
        has_data_incident
    from rounded
)

select * from final
