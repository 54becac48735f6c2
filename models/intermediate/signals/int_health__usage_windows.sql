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

visible_intervals as (
    select
        intervals.scoring_version,
        intervals.metric_key,
        intervals.measure,
        intervals.window_index,
        intervals.account_id,
        intervals.usage_date,
        intervals.seen_until,
        intervals.amount,
        greatest(intervals.seen_from, build_range.first_date) as seen_from
    from intervals
    cross join build_range
    where
        intervals.seen_from <= build_range.last_date
        and intervals.seen_until > build_range.first_date
        and intervals.seen_until > intervals.seen_from
),

steps as (
    select
        visible_intervals.scoring_version,
        visible_intervals.metric_key,
        visible_intervals.measure,
        visible_intervals.window_index,
        visible_intervals.account_id,
        next_build_dates.as_of_date,
        sum(visible_intervals.amount) as step,
        max(visible_intervals.usage_date) as last_used_on,
        0 as is_spine_row
    from visible_intervals
    inner join next_build_dates
        on visible_intervals.seen_from = next_build_dates.calendar_date
    group by 1, 2, 3, 4, 5, 6

    union all

    select
        visible_intervals.scoring_version,
        visible_intervals.metric_key,
        visible_intervals.measure,
        visible_intervals.window_index,
        visible_intervals.account_id,
        next_build_dates.as_of_date,
        -1 * sum(visible_intervals.amount) as step,
        cast(null as date) as last_used_on,
        0 as is_spine_row
    from visible_intervals
    inner join next_build_dates
        on visible_intervals.seen_until = next_build_dates.calendar_date
    group by 1, 2, 3, 4, 5, 6

    union all

    select
        event_metric_windows.scoring_version,
        event_metric_windows.metric_key,
        event_metric_windows.measure,
        event_metric_windows.window_index,
        spine.account_id,
        spine.as_of_date,
        cast(0 as decimal(28, 12)) as step,
        cast(null as date) as last_used_on,
        1 as is_spine_row
    from spine
    inner join scored_versions
        on spine.as_of_date = scored_versions.as_of_date
    inner join event_metric_windows
        on scored_versions.scoring_version = event_metric_windows.scoring_version
),

steps_per_date as (
    select
        scoring_version,
        metric_key,
        measure,
        window_index,
        account_id,
        as_of_date,
        sum(step) as step,
        max(last_used_on) as last_used_on,
        max(is_spine_row) as is_spine_row
    from steps
    group by 1, 2, 3, 4, 5, 6
),

running as (
    select
        scoring_version,
        metric_key,
        measure,
        window_index,
        account_id,
        as_of_date,
        is_spine_row,
        sum(step) over (
            partition by scoring_version, metric_key, measure, window_index, account_id
            order by as_of_date
            rows between unbounded preceding and current row
        ) as window_value,
        max(last_used_on) over (
            partition by scoring_version, metric_key, measure, window_index, account_id
            order by as_of_date
            rows between unbounded preceding and current row
        ) as last_used_on
    from steps_per_date
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        measure,
        window_index,
        cast(window_value as {{ customer_health.type_double() }}) as window_value,
        last_used_on
    from running
    where is_spine_row = 1
)

select * from final
