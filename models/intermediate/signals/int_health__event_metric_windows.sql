with

all_event_metrics as (select * from {{ ref('event_metrics') }}),

needed_metrics as (select * from {{ ref('int_health__needed_metrics') }}),

event_metric_events as (select * from {{ ref('event_metric_events') }}),

metrics as (select * from {{ ref('metrics') }}),

window_indexes as (
    {{ dbt.generate_series(customer_health.integer_var('baseline_windows', minimum=1) + 1) }}
),

event_metrics as (
    select
        all_event_metrics.scoring_version,
        all_event_metrics.metric_key,
        all_event_metrics.aggregation,
        all_event_metrics.basis
    from all_event_metrics
    inner join needed_metrics
        on
            all_event_metrics.scoring_version = needed_metrics.scoring_version
            and all_event_metrics.metric_key = needed_metrics.metric_key
),

-- what is counted, whatever the metric is called and however long its window is
counted_events as (
    select
        event_metrics.scoring_version,
        event_metrics.metric_key,
        event_metrics.aggregation
        || case when event_metrics.basis = 'per_plan_feature' then ' of the plan: ' else ': ' end
        || {{ customer_health.sorted_list('event_metric_events.event_name', ' || ') }} as counted
    from event_metrics
    left join event_metric_events
        on
            event_metrics.scoring_version = event_metric_events.scoring_version
            and event_metrics.metric_key = event_metric_events.metric_key
    group by
        event_metrics.scoring_version,
        event_metrics.metric_key,
        event_metrics.aggregation,
        event_metrics.basis
),

-- beside the value, metrics of users need to know how many user-days there were, and on how many
-- days usage came without users
measures as (
    select
        scoring_version,
        metric_key,
        'value' as measure
    from event_metrics

    union all

    select
        scoring_version,
        metric_key,
        'user_days' as measure
    from event_metrics
    where aggregation = 'active_users'

    union all

    select
        scoring_version,
        metric_key,
        'unattributed_days' as measure
    from event_metrics
    where aggregation = 'active_users'
),

windows as (
    select
        event_metrics.scoring_version,
        event_metrics.metric_key,
        measures.measure,
        event_metrics.aggregation,
        event_metrics.basis,
        metrics.window_days,
        cast(window_indexes.generated_number - 1 as integer) as window_index,
        cast(metrics.window_days * (window_indexes.generated_number - 1) as integer) as offset_days,
        coalesce(counted_events.counted, '') as counted
    from event_metrics
    inner join metrics
        on
            event_metrics.scoring_version = metrics.scoring_version
            and event_metrics.metric_key = metrics.metric_key
    inner join counted_events
        on
            event_metrics.scoring_version = counted_events.scoring_version
            and event_metrics.metric_key = counted_events.metric_key
    inner join measures
        on
            event_metrics.scoring_version = measures.scoring_version
            and event_metrics.metric_key = measures.metric_key
    cross join window_indexes
    where
        window_indexes.generated_number = 1
        or (event_metrics.basis = 'previous_window' and window_indexes.generated_number = 2)
        or event_metrics.basis = 'own_baseline'
),

final as (
    select
        scoring_version,
        metric_key,
        measure,
        aggregation,
        basis,
        window_days,
        window_index,
        offset_days,
        cast(dense_rank() over (order by counted) as integer) as count_number,
        cast(
            dense_rank() over (order by counted, measure, offset_days, window_days) as integer
        ) as window_number
    from windows
)

select * from final
