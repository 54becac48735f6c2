-- What is counted of a day of use, once for all metrics and versions that count the same: events,
-- days, hours, users or features, per account and day.
{{ config(materialized='table') }}

with

event_metric_windows as (select * from {{ ref('int_health__event_metric_windows') }}),

event_metric_events as (select * from {{ ref('event_metric_events') }}),

usage_account_days as (select * from {{ ref('int_health__usage_account_days') }}),

usage_user_days as (select * from {{ ref('int_health__usage_user_days') }}),

usage_daily as (select * from {{ ref('int_health__valid_product_usage_daily') }}),

product_features as (select * from {{ ref('int_health__valid_product_features') }}),

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

-- no day before the first needed one is inside a window of a date that is built, or among the four
-- weeks that a day is compared with to notice a data incident
counts as (
    select
        event_metric_windows.count_number,
        event_metric_windows.aggregation,
        event_metric_windows.basis = 'per_plan_feature' as is_of_plan,
        {{ customer_health.add_days(
            'min(build_dates.as_of_date)',
            '-1 * greatest(29, max(event_metric_windows.offset_days + event_metric_windows.window_days))'
        ) }} as first_needed_date
    from event_metric_windows
    cross join build_dates
    group by 1, 2, 3
),

account_days as (
    select *
    from usage_account_days
    where usage_date >= (select min(counts.first_needed_date) from counts)
),

-- users are mostly counted over fewer days than events, and have the most rows
needed_user_days as (
    select min(first_needed_date) as first_needed_date
    from counts
    where aggregation = 'active_users'
),

user_days as (
    select *
    from usage_user_days
    where usage_date >= (select needed_user_days.first_needed_date from needed_user_days)
),

event_names as (
    select distinct event_name
    from account_days
),

counted_events as (
    select distinct
        counts.count_number,
        counts.aggregation,
        counts.is_of_plan,
        counts.first_needed_date,
        event_names.event_name
    from counts
    inner join event_metric_windows
        on counts.count_number = event_metric_windows.count_number
    inner join event_metric_events
        on
            event_metric_windows.scoring_version = event_metric_events.scoring_version
            and event_metric_windows.metric_key = event_metric_events.metric_key
    inner join event_names
        on
            event_metric_events.event_name = event_names.event_name
            or event_metric_events.event_name = '*'
),

events_of_days as (
    select
        counted_events.count_number,
        account_days.account_id,
        account_days.usage_date,
        sum(account_days.event_count) as event_count
    from account_days
    inner join counted_events
        on
            account_days.event_name = counted_events.event_name
            and account_days.usage_date >= counted_events.first_needed_date
    where counted_events.aggregation in ('events', 'active_days')
    group by 1, 2, 3
),

hours_of_days as (
    select
        counted_events.count_number,
        account_days.account_id,
        account_days.usage_date,
        {{ customer_health.exact_sum('account_days.duration_seconds') }} / 3600 as hour_count
    from account_days
    inner join counted_events
        on
            account_days.event_name = counted_events.event_name
            and account_days.usage_date >= counted_events.first_needed_date
    where counted_events.aggregation = 'duration_hours'
    group by 1, 2, 3
),

-- users who did something that counts, one row per day
active_users as (
    select
        counted_events.count_number,
        user_days.account_id,
        user_days.user_id as item,
        user_days.usage_date
    from user_days
    inner join counted_events
        on
            user_days.event_name = counted_events.event_name
            and user_days.usage_date >= counted_events.first_needed_date
    where
        user_days.user_id is not null
        and counted_events.aggregation = 'active_users'
    group by 1, 2, 3, 4
),

-- features used, one row per day: those of the account's plan, or event names where no plan counts
used_features as (
    select
        counted_events.count_number,
        account_days.account_id,
        product_features.feature_key as item,
        account_days.usage_date
    from account_days
    inner join counted_events
        on
            account_days.event_name = counted_events.event_name
            and account_days.usage_date >= counted_events.first_needed_date
    inner join accounts
        on account_days.account_id = accounts.account_id
    inner join product_features
        on
            account_days.event_name = product_features.event_name
            and coalesce(accounts.plan = product_features.plan, product_features.plan is null)
    where
        counted_events.aggregation = 'distinct_features'
        and counted_events.is_of_plan
    group by 1, 2, 3, 4

    union all

    select
        counted_events.count_number,
        account_days.account_id,
        account_days.event_name as item,
        account_days.usage_date
    from account_days
    inner join counted_events
        on
            account_days.event_name = counted_events.event_name
            and account_days.usage_date >= counted_events.first_needed_date
    where
        counted_events.aggregation = 'distinct_features'
        and not counted_events.is_of_plan
    group by 1, 2, 3, 4
),

items as (
    select * from active_users
    union all
    select * from used_features
),

-- an item counts once: its day is seen until it expires or is renewed by the next day of use
item_days as (
    select
        count_number,
        account_id,
        usage_date,
        lead(usage_date) over (
            partition by count_number, account_id, item
            order by usage_date
        ) as renewed_on
    from items
),

-- usage that came without users: counted per account and day, or events of nobody
unattributed_usage as (
    select
        account_id,
        usage_date
    from usage_daily
    where usage_date >= (select needed_user_days.first_needed_date from needed_user_days)

    union all

    select
        account_id,
        usage_date
    from user_days
    where user_id is null
),

unattributed_days as (
    select distinct
        account_id,
        usage_date
    from unattributed_usage
),

measured as (
    select
        events_of_days.count_number,
        'value' as measure,
        events_of_days.account_id,
        events_of_days.usage_date,
        cast(null as date) as renewed_on,
        {{ customer_health.to_decimal(
            "case when counts.aggregation = 'active_days' then 1"
            ~ ' else events_of_days.event_count end'
        ) }} as amount
    from events_of_days
    inner join counts
        on events_of_days.count_number = counts.count_number

    union all

    select
        count_number,
        'value' as measure,
        account_id,
        usage_date,
        cast(null as date) as renewed_on,
        {{ customer_health.to_decimal('hour_count') }} as amount
    from hours_of_days

    union all

    select
        count_number,
        'value' as measure,
        account_id,
        usage_date,
        renewed_on,
        {{ customer_health.to_decimal('1') }} as amount
    from item_days

    union all

    select
        count_number,
        'user_days' as measure,
        account_id,
        usage_date,
        cast(null as date) as renewed_on,
        {{ customer_health.to_decimal('count(*)') }} as amount
    from active_users
    group by 1, 2, 3, 4

    union all

    select
        counts.count_number,
        'unattributed_days' as measure,
        unattributed_days.account_id,
        unattributed_days.usage_date,
        cast(null as date) as renewed_on,
        {{ customer_health.to_decimal('1') }} as amount
    from unattributed_days
    inner join counts
        on unattributed_days.usage_date >= counts.first_needed_date
    where counts.aggregation = 'active_users'
),

final as (
    select
        count_number,
        measure,
        account_id,
        usage_date,
        renewed_on,
        amount
    from measured
)

select * from final
