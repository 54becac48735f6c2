-- What a day of usage adds to a window, as an interval of dates that see it: a window of N days
-- before d holds day t exactly for t < d <= t + N. Summing starts and ends of such intervals is
-- exact for distinct users and features too, and needs no range join.
with

event_metric_windows as (select * from {{ ref('int_health__event_metric_windows') }}),

event_metric_events as (select * from {{ ref('event_metric_events') }}),

account_days as (select * from {{ ref('int_health__usage_account_days') }}),

user_days as (select * from {{ ref('int_health__usage_user_days') }}),

usage_daily as (select * from {{ ref('int_health__valid_product_usage_daily') }}),

product_features as (select * from {{ ref('int_health__valid_product_features') }}),

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

-- no day before this one is inside a window of a date that is built
needed_days as (
    select {{ customer_health.add_days(
        'min(build_dates.as_of_date)',
        '-1 * max(event_metric_windows.offset_days + event_metric_windows.window_days)'
    ) }} as first_needed_date
    from build_dates
    cross join event_metric_windows
),

event_names as (
    select distinct account_days.event_name
    from account_days
    cross join needed_days
    where account_days.usage_date >= needed_days.first_needed_date
),

metric_events as (
    select
        event_metric_windows.scoring_version,
        event_metric_windows.metric_key,
        event_metric_windows.aggregation,
        event_metric_windows.basis,
        event_names.event_name
    from event_metric_windows
    inner join event_metric_events
        on
            event_metric_windows.scoring_version = event_metric_events.scoring_version
            and event_metric_windows.metric_key = event_metric_events.metric_key
    inner join event_names
        on
            event_metric_events.event_name = event_names.event_name
            or event_metric_events.event_name = '*'
    where
        event_metric_windows.window_index = 0
        and event_metric_windows.measure = 'value'
    group by 1, 2, 3, 4, 5
),

daily_amounts as (
    select
        metric_events.scoring_version,
        metric_events.metric_key,
        account_days.account_id,
        account_days.usage_date,
        case
            when max(metric_events.aggregation) = 'active_days' then 1
            when max(metric_events.aggregation) = 'duration_hours'
                then {{ customer_health.exact_sum('account_days.duration_seconds') }} / 3600
            else {{ customer_health.exact_sum('account_days.event_count') }}
        end as amount
    from account_days
    cross join needed_days
    inner join metric_events
        on account_days.event_name = metric_events.event_name
    where
        account_days.usage_date >= needed_days.first_needed_date
        and metric_events.aggregation in ('events', 'active_days', 'duration_hours')
    group by 1, 2, 3, 4
),

-- users who did something that counts, one row per day
active_users as (
    select
        metric_events.scoring_version,
        metric_events.metric_key,
        user_days.account_id,
        user_days.user_id as item,
        user_days.usage_date
    from user_days
    cross join needed_days
    inner join metric_events
        on user_days.event_name = metric_events.event_name
    where
        user_days.usage_date >= needed_days.first_needed_date
        and user_days.user_id is not null
        and metric_events.aggregation = 'active_users'
    group by 1, 2, 3, 4, 5
),

-- features used, one row per day: those of the account's plan, or event names where no plan counts
used_features as (
    select
        metric_events.scoring_version,
        metric_events.metric_key,
        account_days.account_id,
        product_features.feature_key as item,
        account_days.usage_date
    from account_days
    cross join needed_days
    inner join metric_events
        on account_days.event_name = metric_events.event_name
    inner join accounts
        on account_days.account_id = accounts.account_id
    inner join product_features
        on
            account_days.event_name = product_features.event_name
            and coalesce(accounts.plan = product_features.plan, product_features.plan is null)
    where
        account_days.usage_date >= needed_days.first_needed_date
        and metric_events.aggregation = 'distinct_features'
        and metric_events.basis = 'per_plan_feature'
    group by 1, 2, 3, 4, 5

    union all

    select
        metric_events.scoring_version,
        metric_events.metric_key,
        account_days.account_id,
        account_days.event_name as item,
        account_days.usage_date
    from account_days
    cross join needed_days
    inner join metric_events
        on account_days.event_name = metric_events.event_name
    where
        account_days.usage_date >= needed_days.first_needed_date
        and metric_events.aggregation = 'distinct_features'
        and metric_events.basis <> 'per_plan_feature'
    group by 1, 2, 3, 4, 5
),

items as (
    select * from active_users
    union all
    select * from used_features
),

-- an item counts once: its day is seen until it expires or is renewed by the next day of use
item_days as (
    select
        scoring_version,
        metric_key,
        account_id,
        usage_date,
        lead(usage_date) over (
            partition by scoring_version, metric_key, account_id, item
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

user_metrics as (
    select distinct
        scoring_version,
        metric_key
    from event_metric_windows
    where aggregation = 'active_users'
),

measures as (
    select
        scoring_version,
        metric_key,
        'value' as measure,
        account_id,
        usage_date,
        cast(null as date) as renewed_on,
        {{ customer_health.to_decimal('amount') }} as amount
    from daily_amounts

    union all

    select
        scoring_version,
        metric_key,
        'value' as measure,
        account_id,
        usage_date,
        renewed_on,
        {{ customer_health.to_decimal('1') }} as amount
    from item_days

    union all

    select
        scoring_version,
        metric_key,
        'user_days' as measure,
        account_id,
        usage_date,
        cast(null as date) as renewed_on,
        {{ customer_health.to_decimal('count(*)') }} as amount
    from active_users
    group by 1, 2, 3, 4, 5

    union all

    select
        user_metrics.scoring_version,
        user_metrics.metric_key,
        'unattributed_days' as measure,
        unattributed_days.account_id,
        unattributed_days.usage_date,
        cast(null as date) as renewed_on,
        {{ customer_health.to_decimal('1') }} as amount
    from unattributed_days
    cross join user_metrics
    cross join needed_days
    where unattributed_days.usage_date >= needed_days.first_needed_date
),

final as (
    select
        measures.scoring_version,
        measures.metric_key,
        measures.measure,
        event_metric_windows.window_index,
        measures.account_id,
        measures.usage_date,
        {{ customer_health.add_days(
            'measures.usage_date', '1 + event_metric_windows.offset_days'
        ) }} as seen_from,
        least(
            {{ customer_health.add_days(
                'measures.usage_date',
                '1 + event_metric_windows.offset_days + event_metric_windows.window_days'
            ) }},
            coalesce(
                {{ customer_health.add_days(
                    'measures.renewed_on', '1 + event_metric_windows.offset_days'
                ) }},
                cast('9999-12-31' as date)
            )
        ) as seen_until,
        measures.amount
    from measures
    inner join event_metric_windows
        on
            measures.scoring_version = event_metric_windows.scoring_version
            and measures.metric_key = event_metric_windows.metric_key
            and measures.measure = event_metric_windows.measure
)

select * from final
