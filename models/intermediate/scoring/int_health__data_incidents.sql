-- Data incidents of the dates of this run: one metric of one segment dropped for so many accounts
-- on one day that the data are to blame, with the last date whose value can be trusted.
with

usage_incidents as (select * from {{ ref('int_health__usage_incidents') }}),

score_falls as (select * from {{ ref('int_health__score_falls') }}),

scored_versions as (
    select *
    from {{ ref('int_health__scored_versions') }}
    where is_in_force
),

days_back as (
    {{ dbt.generate_series(customer_health.integer_var('incident_hold_days', minimum=1)) }}
),

-- the newest day before it that was no incident itself
good_usage_dates as (
    select
        usage_incidents.as_of_date,
        usage_incidents.scoring_version,
        usage_incidents.metric_key,
        usage_incidents.segment,
        max(
            {{ customer_health.add_days(
                'usage_incidents.as_of_date', '-1 * days_back.generated_number'
            ) }}
        ) as last_good_date
    from usage_incidents
    cross join days_back
    left join usage_incidents as earlier_incidents
        on
            usage_incidents.scoring_version = earlier_incidents.scoring_version
            and usage_incidents.metric_key = earlier_incidents.metric_key
            and usage_incidents.segment = earlier_incidents.segment
            and {{ customer_health.add_days(
                'usage_incidents.as_of_date', '-1 * days_back.generated_number'
            ) }} = earlier_incidents.as_of_date
    where earlier_incidents.as_of_date is null
    group by 1, 2, 3, 4
),

incidents as (
    select
        usage_incidents.as_of_date,
        usage_incidents.scoring_version,
        usage_incidents.metric_key,
        usage_incidents.segment,
        'usage_day' as incident_kind,
        good_usage_dates.last_good_date,
        usage_incidents.account_count,
        usage_incidents.dropped_account_count
    from usage_incidents
    left join good_usage_dates
        on
            usage_incidents.as_of_date = good_usage_dates.as_of_date
            and usage_incidents.scoring_version = good_usage_dates.scoring_version
            and usage_incidents.metric_key = good_usage_dates.metric_key
            and usage_incidents.segment = good_usage_dates.segment

    union all

    select
        as_of_date,
        scoring_version,
        metric_key,
        segment,
        'score_fall' as incident_kind,
        last_good_date,
        account_count,
        dropped_account_count
    from score_falls
),

final as (
    select
        incidents.as_of_date,
        incidents.scoring_version,
        incidents.metric_key,
        incidents.segment,
        incidents.incident_kind,
        incidents.last_good_date,
        incidents.account_count,
        incidents.dropped_account_count
    from incidents
    inner join scored_versions
        on
            incidents.as_of_date = scored_versions.as_of_date
            and incidents.scoring_version = scored_versions.scoring_version
)

select * from final
