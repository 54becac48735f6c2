-- Everything that may say who leaves, in one shape: scores, categories and metrics. Higher is
-- always healthier. Values are taken as finely as people read them, so that equal ones can be
-- counted together: docs/decisions.md, 42. What is unknown is left out where it is read, since a
-- condition on the rounded value would round it twice.
-- Kept from run to run, as the scores themselves are: what came of them is told elsewhere.
-- depends_on: {{ ref('int_health__build_dates') }}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ customer_health.replace_built_dates() }}"
) }}
{% set is_built_now = (
    'as_of_date >= (select min(as_of_date) from ' ~ ref('int_health__build_dates') ~ ')'
    if is_incremental() else 'true'
) %}

with

monthly_scores as (
    select *
    from {{ ref('int_health__monthly_scores') }}
    where {{ is_built_now }}
),

-- scores of all kinds are compared on the same rows: those with a health score
known_scores as (
    select *
    from monthly_scores
    where health_score is not null
),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where
        purpose = 'health'
        and {{ customer_health.is_first_sunday('as_of_date') }}
        and {{ is_built_now }}
),

scores as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        'score' as predictor_kind,
        'health_score' as predictor_key,
        cast(health_score as {{ customer_health.type_double() }}) as predictor_value
    from known_scores

    union all

    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        'score' as predictor_kind,
        'score_without_churn_risk' as predictor_key,
        cast(floor(score_without_churn_risk + 0.5) as {{ customer_health.type_double() }})
            as predictor_value
    from known_scores
    where score_without_churn_risk is not null

    union all

    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        'score' as predictor_kind,
        'churn_probability' as predictor_key,
        cast(
            round({{ customer_health.to_decimal('1 - churn_probability') }}, 4)
            as {{ customer_health.type_double() }}
        ) as predictor_value
    from known_scores
    where churn_probability is not null
),

monthly_metrics as (
    select
        monthly_scores.account_id,
        monthly_scores.as_of_date,
        monthly_scores.scoring_version,
        monthly_scores.scorecard_key,
        metric_scores.category_key,
        metric_scores.metric_key,
        metric_scores.category_score,
        metric_scores.metric_score,
        monthly_scores.health_score is not null as is_scored
    from monthly_scores
    inner join metric_scores
        on
            monthly_scores.account_id = metric_scores.account_id
            and monthly_scores.as_of_date = metric_scores.as_of_date
            and monthly_scores.scoring_version = metric_scores.scoring_version
            and monthly_scores.scorecard_key = metric_scores.scorecard_key
),

category_totals as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        category_key,
        is_scored,
        max(category_score) as category_score,
        {{ customer_health.exact_sum(
            "case when metric_key <> 'churn_probability' then metric_score end"
        ) }} as metric_score_sum,
        count(case when metric_key <> 'churn_probability' then metric_score end)
            as metric_score_count
    from monthly_metrics
    group by 1, 2, 3, 4, 5, 6
),

-- what no weight at all would say: the yardstick that the weights have to beat
equal_weights as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        'score' as predictor_kind,
        'equal_weights' as predictor_key,
        floor({{ customer_health.round_score(customer_health.safe_divide(
            '10 * sum(metric_score_sum)', 'sum(metric_score_count)'
        )) }} + 0.5) as predictor_value
    from category_totals
    where is_scored
    group by 1, 2, 3, 4
    having sum(metric_score_count) > 0
),

categories as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        'category' as predictor_kind,
        category_key as predictor_key,
        cast(
            round({{ customer_health.to_decimal('category_score') }}, 3)
            as {{ customer_health.type_double() }}
        ) as predictor_value
    from category_totals
    where category_score is not null
),

metrics as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        'metric' as predictor_kind,
        metric_key as predictor_key,
        cast(
            round({{ customer_health.to_decimal('metric_score') }}, 3)
            as {{ customer_health.type_double() }}
        ) as predictor_value
    from monthly_metrics
    where metric_score is not null
),

predictors as (
    select * from scores
    union all
    select * from equal_weights
    union all
    select * from categories
    union all
    select * from metrics
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        predictor_kind,
        predictor_key,
        predictor_value
    from predictors
)

select * from final
