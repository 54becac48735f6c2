with

intervals as (select * from {{ ref('int_health__usage_intervals') }}),

event_metric_windows as (select * from {{ ref('int_health__event_metric_windows') }}),

scored_versions as (select * from {{ ref('int_health__scored_versions') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

spine as (select * from {{ ref('int_health__spine') }}),

build_range as (
    select
        min(as_of_date) as first_date,
        max(as_of_date) as last_date
    from build_dates
),

calendar as (
    {{ dbt.date_spine(
        datepart='day',
        start_date=customer_health.date_var('history_from'),
        end_date=customer_health.add_days(customer_health.as_of_date(), 1)
    ) }}
),

-- starts and ends take effect on the first date that is built on or after them
next_build_dates as (
    select
        cast(calendar.date_day as date) as calendar_date,
        min(build_dates.as_of_date) over (
            order by calendar.date_day
            rows between current row and unbounded following
        ) as as_of_date
    from calendar
    left join build_dates
        on cast(calendar.date_day as date) = build_dates.as_of_date
),

-- what starts and ends between two dates that are built is seen by none
visible_intervals as (
    select
        intervals.window_number,
        intervals.account_id,
        intervals.usage_date,
        intervals.amount,
        starts.as_of_date as first_seen_on,
        ends.as_of_date as last_seen_before
    from intervals
    cross join build_range
    inner join next_build_dates as starts
        on greatest(intervals.seen_from, build_range.first_date) = starts.calendar_date
    left join next_build_dates as ends
        on intervals.seen_until = ends.calendar_date
    where
        intervals.seen_from <= build_range.last_date
        and intervals.seen_until > build_range.first_date
        and intervals.seen_until > intervals.seen_from
        and (ends.as_of_date is null or starts.as_of_date < ends.as_of_date)
),

-- windows of the versions that are scored on a date, each once
needed_windows as (
    select distinct
        scored_versions.as_of_date,
        event_metric_windows.window_number
    from scored_versions
    inner join event_metric_windows
        on scored_versions.scoring_version = event_metric_windows.scoring_version
),

steps as (
    select
        window_number,
        account_id,
        first_seen_on as as_of_date,
        amount as step,
        usage_date as last_used_on,
        0 as is_spine_row
    from visible_intervals

    union all

    select
        window_number,
        account_id,
        last_seen_before as as_of_date,
        -1 * amount as step,
        cast(null as date) as last_used_on,
        0 as is_spine_row
    from visible_intervals
    where last_seen_before is not null

    union all

    select
        needed_windows.window_number,
        spine.account_id,
        spine.as_of_date,
        {{ customer_health.to_decimal('0') }} as step,
        cast(null as date) as last_used_on,
        1 as is_spine_row
    from spine
    inner join needed_windows
        on spine.as_of_date = needed_windows.as_of_date
),

steps_per_date as (
    select
        window_number,
        account_id,
        as_of_date,
        sum(step) as step,
        max(last_used_on) as last_used_on,
        max(is_spine_row) as is_spine_row
    from steps
    group by 1, 2, 3
),

running as (
    select
        window_number,
        account_id,
        as_of_date,
        is_spine_row,
        sum(step) over (
            partition by window_number, account_id
            order by as_of_date
            rows between unbounded preceding and current row
        ) as window_value,
        max(last_used_on) over (
            partition by window_number, account_id
            order by as_of_date
            rows between unbounded preceding and current row
        ) as last_used_on
    from steps_per_date
),

final as (
    select
        running.account_id,
        running.as_of_date,
        event_metric_windows.scoring_version,
        event_metric_windows.metric_key,
        event_metric_windows.measure,
        event_metric_windows.window_index,
        cast(running.window_value as {{ customer_health.type_double() }}) as window_value,
        running.last_used_on
    from running
    inner join event_metric_windows
        on running.window_number = event_metric_windows.window_number
    inner join scored_versions
        on
            running.as_of_date = scored_versions.as_of_date
            and event_metric_windows.scoring_version = scored_versions.scoring_version
    where running.is_spine_row = 1
)

select * from final
