-- Days on which a segment, and most of its accounts, used the product far less than on the same
-- weekday of the four weeks before, as a broken tracking release makes it look. Days of
-- usage_calendar are left out: there less use is expected.
-- depends_on: {{ ref('int_health__build_dates') }}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    tags=['customer_health_history']
) }}

with

usage_counts as (select * from {{ ref('int_health__usage_counts') }}),

event_metric_windows as (select * from {{ ref('int_health__event_metric_windows') }}),

spine as (select * from {{ ref('int_health__spine') }}),

usage_calendar as (select * from {{ ref('usage_calendar') }}),

-- the day is seen for the first time by the date after it
judged_accounts as (
    select
        account_id,
        as_of_date,
        coalesce(segment, '') as segment,
        {{ customer_health.add_days('as_of_date', -1) }} as usage_date
    from spine
    where as_of_date > {{ customer_health.date_var('daily_from') }}
),

judged_days as (
    select
        min(usage_date) as first_date,
        max(usage_date) as last_date,
        {{ customer_health.add_days('min(usage_date)', -28) }} as first_needed_date
    from judged_accounts
),

daily_counts as (
    select
        usage_counts.count_number,
        usage_counts.account_id,
        usage_counts.usage_date,
        sum(usage_counts.amount) as amount
    from usage_counts
    where
        usage_counts.measure = 'value'
        and usage_counts.usage_date >= (select judged_days.first_needed_date from judged_days)
    group by 1, 2, 3
),

-- each day of use stands for itself, and on the same weekday of the four weeks after it
amounts as (
    select
        count_number,
        account_id,
        usage_date,
        amount as day_amount,
        {{ customer_health.to_decimal('null') }} as earlier_amount
    from daily_counts
    {% for weeks in [1, 2, 3, 4] %}

    union all

    select
        count_number,
        account_id,
        {{ customer_health.add_days('usage_date', 7 * weeks) }} as usage_date,
        {{ customer_health.to_decimal('null') }} as day_amount,
        amount as earlier_amount
    from daily_counts
    {% endfor %}
),

-- usual for an account is the median of the four days, of which one may be without use
account_days as (
    select
        count_number,
        account_id,
        usage_date,
        count(earlier_amount) as earlier_day_count,
        coalesce(sum(day_amount), 0) as day_amount,
        coalesce(sum(earlier_amount), 0) / 4 as mean_amount,
        (
            coalesce(sum(earlier_amount) - max(earlier_amount), 0)
            - case when count(earlier_amount) = 4 then min(earlier_amount) else 0 end
        ) / 2 as median_amount
    from amounts
    where
        usage_date >= (select judged_days.first_date from judged_days)
        and usage_date <= (select judged_days.last_date from judged_days)
    group by 1, 2, 3
),

judged_days_of_accounts as (
    select
        account_days.count_number,
        judged_accounts.segment,
        judged_accounts.usage_date,
        judged_accounts.as_of_date,
        account_days.day_amount,
        account_days.mean_amount,
        -- an account that comes seldom says nothing about a single day
        account_days.earlier_day_count >= 3 as is_regular,
        {{ customer_health.is_far_less_usage(
            'account_days.day_amount', 'account_days.median_amount'
        ) }} as is_dropped
    from judged_accounts
    inner join account_days
        on
            judged_accounts.account_id = account_days.account_id
            and judged_accounts.usage_date = account_days.usage_date
),

segment_days as (
    select
        count_number,
        segment,
        usage_date,
        as_of_date,
        sum(day_amount) as day_amount,
        sum(mean_amount) as mean_amount,
        sum(case when is_regular then 1 else 0 end) as account_count,
        sum(case when is_regular and is_dropped then 1 else 0 end) as dropped_account_count
    from judged_days_of_accounts
    group by 1, 2, 3, 4
),

counted_metrics as (
    select
        scoring_version,
        metric_key,
        count_number
    from event_metric_windows
    where
        measure = 'value'
        and window_index = 0
),

final as (
    select
        segment_days.as_of_date,
        segment_days.usage_date,
        counted_metrics.scoring_version,
        counted_metrics.metric_key,
        segment_days.segment,
        cast(segment_days.account_count as bigint) as account_count,
        cast(segment_days.dropped_account_count as bigint) as dropped_account_count
    from segment_days
    inner join counted_metrics
        on segment_days.count_number = counted_metrics.count_number
    left join usage_calendar
        on
            counted_metrics.scoring_version = usage_calendar.scoring_version
            and (
                segment_days.segment = usage_calendar.segment
                or usage_calendar.segment = '*'
            )
            and segment_days.usage_date >= usage_calendar.from_date
            and segment_days.usage_date <= usage_calendar.to_date
            and usage_calendar.expected_usage_ratio < 1
    where
        usage_calendar.segment is null
        and {{ customer_health.is_incident(
            'segment_days.dropped_account_count', 'segment_days.account_count'
        ) }}
        -- single accounts are noisy: the segment as a whole must be far below its usual too
        and {{ customer_health.is_far_less_usage(
            'segment_days.day_amount', 'segment_days.mean_amount'
        ) }}
)

select * from final
