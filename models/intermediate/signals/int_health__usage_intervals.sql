-- What a day of usage adds to a window, as an interval of dates that see it: a window of N days
-- before d holds day t exactly for t < d <= t + N. Summing starts and ends of such intervals is
-- exact for distinct users and features too, and needs no range join. Read by one model alone.
{{ config(materialized='view') }}

with

usage_counts as (select * from {{ ref('int_health__usage_counts') }}),

event_metric_windows as (select * from {{ ref('int_health__event_metric_windows') }}),

windows as (
    select distinct
        window_number,
        count_number,
        measure,
        window_days,
        offset_days
    from event_metric_windows
),

final as (
    select
        windows.window_number,
        usage_counts.account_id,
        usage_counts.usage_date,
        {{ customer_health.add_days('usage_counts.usage_date', '1 + windows.offset_days') }}
            as seen_from,
        least(
            {{ customer_health.add_days(
                'usage_counts.usage_date', '1 + windows.offset_days + windows.window_days'
            ) }},
            coalesce(
                {{ customer_health.add_days(
                    'usage_counts.renewed_on', '1 + windows.offset_days'
                ) }},
                cast('9999-12-31' as date)
            )
        ) as seen_until,
        usage_counts.amount
    from usage_counts
    inner join windows
        on
            usage_counts.count_number = windows.count_number
            and usage_counts.measure = windows.measure
)

select * from final
