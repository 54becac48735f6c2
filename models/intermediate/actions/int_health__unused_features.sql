-- Accounts that have a feature in their plan and have not used it for as long as a playbook says.
-- Days of use become stretches in which the window sees one, so that no date looks at every day.
with

playbooks as (
    select *
    from {{ ref('int_health__playbooks') }}
    where trigger_type = 'feature_unused'
),

product_features as (select * from {{ ref('int_health__valid_product_features') }}),

spine as (select * from {{ ref('int_health__spine') }}),

usage_account_days as (select * from {{ ref('int_health__usage_account_days') }}),

source_coverage as (
    select *
    from {{ ref('int_health__source_coverage') }}
    where source_key = 'product_usage'
),

first_dates as (
    select min(as_of_date) as first_date
    from spine
),

watched_features as (
    select distinct
        trigger_name as feature_key,
        trigger_days
    from playbooks
),

watched_events as (
    select distinct
        product_features.event_name,
        watched_features.feature_key,
        watched_features.trigger_days
    from watched_features
    inner join product_features
        on watched_features.feature_key = product_features.feature_key
),

used_days as (
    select distinct
        usage_account_days.account_id,
        watched_events.feature_key,
        watched_events.trigger_days,
        usage_account_days.usage_date
    from watched_events
    inner join usage_account_days
        on watched_events.event_name = usage_account_days.event_name
    cross join first_dates
    where
        usage_account_days.usage_date
        >= {{ customer_health.add_days(
            'first_dates.first_date', '-1 * watched_events.trigger_days'
        ) }}
),

with_previous as (
    select
        *,
        lag(usage_date) over (
            partition by account_id, feature_key, trigger_days
            order by usage_date
        ) as previous_date
    from used_days
),

numbered as (
    select
        *,
        sum(case
            when {{ customer_health.days_between('previous_date', 'usage_date') }} <= trigger_days
                then 0
            else 1
        end) over (
            partition by account_id, feature_key, trigger_days
            order by usage_date
            rows between unbounded preceding and current row
        ) as stretch_number
    from with_previous
),

used_stretches as (
    select
        account_id,
        feature_key,
        trigger_days,
        stretch_number,
        min(usage_date) as used_from,
        max(usage_date) as used_to
    from numbered
    group by 1, 2, 3, 4
),

-- a newcomer has not left anything unused, and where no usage arrives nothing is known
entitled as (
    select distinct
        spine.account_id,
        spine.as_of_date,
        watched_features.feature_key,
        watched_features.trigger_days
    from spine
    inner join product_features
        on coalesce(spine.plan = product_features.plan, product_features.plan is null)
    inner join watched_features
        on
            product_features.feature_key = watched_features.feature_key
            and spine.tenure_days >= watched_features.trigger_days
    inner join source_coverage
        on
            spine.as_of_date = source_coverage.as_of_date
            and source_coverage.is_connected
            and {{ customer_health.days_between(
                'source_coverage.available_from', 'spine.as_of_date'
            ) }} >= watched_features.trigger_days
            and {{ customer_health.days_between(
                'source_coverage.available_to', 'spine.as_of_date'
            ) }} <= watched_features.trigger_days
),

final as (
    select
        entitled.account_id,
        entitled.as_of_date,
        entitled.feature_key,
        entitled.trigger_days
    from entitled
    left join used_stretches
        on
            entitled.account_id = used_stretches.account_id
            and entitled.feature_key = used_stretches.feature_key
            and entitled.trigger_days = used_stretches.trigger_days
            and entitled.as_of_date > used_stretches.used_from
            and entitled.as_of_date <= {{ customer_health.add_days(
                'used_stretches.used_to', 'used_stretches.trigger_days'
            ) }}
    where used_stretches.account_id is null
)

select * from final
