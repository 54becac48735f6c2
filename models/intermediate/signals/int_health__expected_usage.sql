-- How much usage a window may be expected to hold, as a share of a usual one: usage_calendar names
-- the days that are different (holidays, quarter-end products); every other day counts as 1.
with

event_metric_windows as (select * from {{ ref('int_health__event_metric_windows') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

usage_calendar as (select * from {{ ref('usage_calendar') }}),

spine as (select * from {{ ref('int_health__spine') }}),

segments as (
    select distinct coalesce(segment, '') as segment
    from spine
),

compared_windows as (
    select distinct
        scoring_version,
        window_days,
        window_index,
        offset_days
    from event_metric_windows
    where basis in ('previous_window', 'own_baseline')
),

windows as (
    select
        compared_windows.scoring_version,
        compared_windows.window_days,
        compared_windows.window_index,
        segments.segment,
        build_dates.as_of_date,
        {{ customer_health.add_days(
            'build_dates.as_of_date',
            '-1 * (compared_windows.offset_days + compared_windows.window_days)'
        ) }} as window_from,
        {{ customer_health.add_days(
            'build_dates.as_of_date', '-1 * compared_windows.offset_days'
        ) }} as window_to
    from compared_windows
    cross join build_dates
    cross join segments
),

-- a row of the segment beats a row of `*`
calendar_of_segments as (
    select
        usage_calendar.scoring_version,
        segments.segment,
        usage_calendar.from_date,
        {{ customer_health.add_days('usage_calendar.to_date', 1) }} as until_date,
        usage_calendar.expected_usage_ratio,
        usage_calendar.segment <> '*' as is_of_segment
    from usage_calendar
    inner join segments
        on
            usage_calendar.segment = segments.segment
            or usage_calendar.segment = '*'
),

overruled as (
    select
        general.scoring_version,
        general.segment,
        general.from_date
    from calendar_of_segments as general
    inner join calendar_of_segments as special
        on
            general.scoring_version = special.scoring_version
            and general.segment = special.segment
            and general.from_date < special.until_date
            and general.until_date > special.from_date
    where not general.is_of_segment and special.is_of_segment
    group by 1, 2, 3
),

applied_calendar as (
    select
        calendar_of_segments.scoring_version,
        calendar_of_segments.segment,
        calendar_of_segments.from_date,
        calendar_of_segments.until_date,
        calendar_of_segments.expected_usage_ratio
    from calendar_of_segments
    left join overruled
        on
            calendar_of_segments.scoring_version = overruled.scoring_version
            and calendar_of_segments.segment = overruled.segment
            and calendar_of_segments.from_date = overruled.from_date
    where calendar_of_segments.is_of_segment or overruled.segment is null
),

final as (
    select
        windows.scoring_version,
        windows.window_days,
        windows.window_index,
        windows.segment,
        windows.as_of_date,
        cast(
            (
                windows.window_days - coalesce({{ customer_health.exact_sum(
                    '(1 - applied_calendar.expected_usage_ratio) * '
                    ~ customer_health.days_between(
                        'greatest(windows.window_from, applied_calendar.from_date)',
                        'least(windows.window_to, applied_calendar.until_date)'
                    )
                ) }}, 0)
            ) / windows.window_days
            as {{ customer_health.type_double() }}
        ) as expected_usage_ratio
    from windows
    left join applied_calendar
        on
            windows.scoring_version = applied_calendar.scoring_version
            and windows.segment = applied_calendar.segment
            and windows.window_from < applied_calendar.until_date
            and windows.window_to > applied_calendar.from_date
    group by 1, 2, 3, 4, 5
)

select * from final
