{{ customer_health.check_as_of_date() }}
{% set built_dates = customer_health.built_dates_relation() %}
{% set history_from = customer_health.date_var('history_from') %}
{% set backfill_from = customer_health.date_var('backfill_from') %}
{% set lookback_days = customer_health.integer_var('lookback_days') %}

with

scoring_versions as (select * from {{ ref('scoring_versions') }}),

calendar as (
    {{ dbt.date_spine(
        datepart='day',
        start_date=history_from,
        end_date=customer_health.add_days(customer_health.as_of_date(), 1)
    ) }}
),

days as (
    select
        cast(date_day as date) as as_of_date,
        {{ customer_health.day_number('cast(date_day as date)') }} as day_number
    from calendar
),

-- 1970-01-04, day number 3, was a Sunday
spine_dates as (
    select
        as_of_date,
        day_number,
        mod(day_number, 7) = 3 as is_sunday
    from days
    where
        mod(day_number, 7) = 3
        or as_of_date >= {{ customer_health.date_var('daily_from') }}
),

versions_to_score as (
    select scoring_version
    from scoring_versions
    where
        status = 'challenger'
        or (status = 'champion' and valid_from <= {{ customer_health.as_of_date() }})
),

{% if built_dates is not none %}

last_built as (
    select
        scoring_version,
        max(as_of_date) as last_date
    from {{ built_dates }}
    group by 1
),

{% else %}

last_built as (
    select
        scoring_version,
        cast(null as date) as last_date
    from scoring_versions
    where 1 = 0
),

{% endif %}

-- a version without rows, such as a new challenger, is scored for the whole history
rebuild_from_per_version as (
    select
        versions_to_score.scoring_version,
        coalesce(
            {{ customer_health.add_days('last_built.last_date', 1 - lookback_days) }},
            {{ history_from }}
        ) as rebuild_from
    from versions_to_score
    left join last_built
        on versions_to_score.scoring_version = last_built.scoring_version
),

rebuild as (
    select coalesce(min(rebuild_from), {{ history_from }}) as rebuild_from
    from rebuild_from_per_version
),

final as (
    select
        spine_dates.as_of_date,
        spine_dates.day_number,
        spine_dates.is_sunday
    from spine_dates
    cross join rebuild
    where
        spine_dates.as_of_date >= rebuild.rebuild_from
        or {{ 'false' if backfill_from is none else 'spine_dates.as_of_date >= ' ~ backfill_from }}
)

select * from final
