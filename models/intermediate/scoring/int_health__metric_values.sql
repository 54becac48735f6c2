-- Read by one model alone: a copy of these rows would cost as much as the next step.
{{ config(materialized='view') }}

with

assignments as (select * from {{ ref('int_health__scorecard_assignments') }}),

scorecard_metrics as (select * from {{ ref('int_health__scorecard_metrics') }}),

signals as (select * from {{ ref('int_health__signals') }}),

source_coverage as (select * from {{ ref('int_health__source_coverage') }}),

expected_metrics as (
    select
        assignments.account_id,
        assignments.as_of_date,
        assignments.scoring_version,
        assignments.scorecard_key,
        assignments.tenure_days,
        scorecard_metrics.category_key,
        scorecard_metrics.metric_key,
        scorecard_metrics.category_weight,
        scorecard_metrics.metric_weight,
        scorecard_metrics.absence,
        scorecard_metrics.stale_after_days,
        coalesce(scorecard_metrics.due_after_tenure_days, 0) as due_after_tenure_days,
        coalesce(source_coverage.is_connected, false) as is_connected,
        {{ customer_health.days_between(
            'source_coverage.available_from', 'assignments.as_of_date'
        ) }} as covered_days,
        {{ customer_health.days_between(
            'source_coverage.available_to', 'assignments.as_of_date'
        ) }} as source_age_days
    from assignments
    inner join scorecard_metrics
        on
            assignments.scoring_version = scorecard_metrics.scoring_version
            and assignments.scorecard_key = scorecard_metrics.scorecard_key
    left join source_coverage
        on
            scorecard_metrics.source_key = source_coverage.source_key
            and assignments.as_of_date = source_coverage.as_of_date
    -- the churn probability is computed from the scores of the others, one step later
    where scorecard_metrics.metric_key <> 'churn_probability'
),

measured as (
    select
        expected_metrics.*,
        signals.metric_value,
        signals.observed_at,
        signals.sample_size,
        signals.value_state as signal_state,
        {{ customer_health.days_between(
            'cast(signals.observed_at as date)', 'expected_metrics.as_of_date'
        ) }} as value_age_days
    from expected_metrics
    left join signals
        on
            expected_metrics.account_id = signals.account_id
            and expected_metrics.as_of_date = signals.as_of_date
            and expected_metrics.scoring_version = signals.scoring_version
            and expected_metrics.metric_key = signals.metric_key
),

with_state as (
    select
        *,
        {{ customer_health.value_state() }} as value_state
    from measured
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        category_key,
        metric_key,
        category_weight,
        metric_weight,
        case
            when value_state = 'zero' then cast(0 as {{ customer_health.type_double() }})
            when value_state = 'observed' then metric_value
            -- an answer that is too old is shown, not scored
            when value_state = 'unknown' and signal_state = 'observed' then metric_value
        end as metric_value,
        observed_at,
        sample_size,
        value_state,
        tenure_days
    from with_state
)

select * from final
