with

assignments as (select * from {{ ref('int_health__scorecard_assignments') }}),

knockouts as (select * from {{ ref('knockouts') }}),

metrics as (select * from {{ ref('metrics') }}),

signals as (select * from {{ ref('int_health__signals') }}),

source_coverage as (select * from {{ ref('int_health__source_coverage') }}),

held_values as (select * from {{ ref('int_health__held_values') }}),

churn_probabilities as (select * from {{ ref('int_health__churn_probabilities') }}),

knockout_metrics as (
    select distinct
        knockouts.scoring_version,
        knockouts.metric_key,
        metrics.source_key,
        metrics.absence,
        metrics.stale_after_days,
        coalesce(metrics.due_after_tenure_days, 0) as due_after_tenure_days
    from knockouts
    inner join metrics
        on
            knockouts.scoring_version = metrics.scoring_version
            and knockouts.metric_key = metrics.metric_key
),

measured as (
    select
        assignments.account_id,
        assignments.as_of_date,
        assignments.scoring_version,
        assignments.scorecard_key,
        assignments.tenure_days,
        knockout_metrics.metric_key,
        knockout_metrics.absence,
        knockout_metrics.stale_after_days,
        knockout_metrics.due_after_tenure_days,
        signals.metric_value,
        signals.value_state as signal_state,
        coalesce(source_coverage.is_connected, false) as is_connected,
        {{ customer_health.days_between(
            'source_coverage.available_from', 'assignments.as_of_date'
        ) }} as covered_days,
        {{ customer_health.days_between(
            'source_coverage.available_to', 'assignments.as_of_date'
        ) }} as source_age_days,
        {{ customer_health.days_between(
            'cast(signals.observed_at as date)', 'assignments.as_of_date'
        ) }} as value_age_days
    from assignments
    inner join knockout_metrics
        on assignments.scoring_version = knockout_metrics.scoring_version
    left join signals
        on
            assignments.account_id = signals.account_id
            and assignments.as_of_date = signals.as_of_date
            and assignments.scoring_version = signals.scoring_version
            and knockout_metrics.metric_key = signals.metric_key
    left join source_coverage
        on
            knockout_metrics.source_key = source_coverage.source_key
            and assignments.as_of_date = source_coverage.as_of_date
    where knockout_metrics.metric_key <> 'churn_probability'
),

with_state as (
    select
        *,
        {{ customer_health.value_state() }} as value_state
    from measured
),

final as (
    select
        with_state.account_id,
        with_state.as_of_date,
        with_state.scoring_version,
        with_state.scorecard_key,
        with_state.metric_key,
        coalesce(
            -- what a data incident did to a value knocks nobody out
            held_values.metric_value,
            case when with_state.value_state = 'zero' then 0 else with_state.metric_value end
        ) as metric_value
    from with_state
    left join held_values
        on
            with_state.account_id = held_values.account_id
            and with_state.as_of_date = held_values.as_of_date
            and with_state.scoring_version = held_values.scoring_version
            and with_state.metric_key = held_values.metric_key
    where with_state.value_state in ('observed', 'zero')

    union all

    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        metric_key,
        metric_value
    from churn_probabilities
    where value_state = 'observed'
)

select * from final
