-- How many days of a window were data incidents. Such days say nothing about the customers, so the
-- usage of the others stands for them.
with

usage_incidents as (select * from {{ ref('int_health__usage_incidents') }}),

event_metric_windows as (select * from {{ ref('int_health__event_metric_windows') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

final as (
    select
        build_dates.as_of_date,
        event_metric_windows.scoring_version,
        event_metric_windows.metric_key,
        event_metric_windows.window_index,
        usage_incidents.segment,
        count(*) as incident_day_count
    from build_dates
    cross join event_metric_windows
    inner join usage_incidents
        on
            event_metric_windows.scoring_version = usage_incidents.scoring_version
            and event_metric_windows.metric_key = usage_incidents.metric_key
            and usage_incidents.usage_date < {{ customer_health.add_days(
                'build_dates.as_of_date', '-1 * event_metric_windows.offset_days'
            ) }}
            and usage_incidents.usage_date >= {{ customer_health.add_days(
                'build_dates.as_of_date',
                '-1 * (event_metric_windows.offset_days + event_metric_windows.window_days)'
            ) }}
    where event_metric_windows.measure = 'value'
    group by 1, 2, 3, 4, 5
)

select * from final
