-- When an account was a customer (or on trial). Definitions: docs/decisions.md, "Churn date".
with

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

subscriptions as (select * from {{ ref('int_health__valid_billing_subscriptions') }}),

paid_intervals as (
    select
        account_id,
        cast(started_at as date) as starts_on,
        cast(ended_at as date) as ends_on,
        cast(cancel_requested_at as date) as cancel_requested_on,
        true as is_paid
    from subscriptions
    where status <> 'trialing'
),

first_paid as (
    select
        account_id,
        min(starts_on) as first_paid_on
    from paid_intervals
    group by 1
),

-- from sign-up to the first subscription, or to the end of a trial; without any subscription and
-- trial (no billing connected, free accounts) until the CRM says that the account has gone
sign_up_intervals as (
    select
        accounts.account_id,
        cast(accounts.created_at as date) as starts_on,
        case
            when accounts.trial_ends_at is not null
                then coalesce(
                    least(cast(accounts.trial_ends_at as date), first_paid.first_paid_on),
                    cast(accounts.trial_ends_at as date)
                )
            when first_paid.first_paid_on is not null
                then greatest(first_paid.first_paid_on, cast(accounts.created_at as date))
            else cast(accounts.churned_at as date)
        end as ends_on,
        cast(null as date) as cancel_requested_on,
        false as is_paid
    from accounts
    left join first_paid
        on accounts.account_id = first_paid.account_id
),

intervals as (
    select * from paid_intervals
    union all
    select * from sign_up_intervals
),

bounded_intervals as (
    select
        account_id,
        starts_on,
        cancel_requested_on,
        is_paid,
        coalesce(ends_on, cast('9999-12-31' as date)) as ends_on
    from intervals
    where ends_on is null or ends_on >= starts_on
),

with_earlier_end as (
    select
        *,
        max(ends_on) over (
            partition by account_id
            order by starts_on, ends_on
            rows between unbounded preceding and 1 preceding
        ) as earlier_ends_on
    from bounded_intervals
),

counted as (
    select
        *,
        sum(
            case
                when earlier_ends_on is null then 1
                when earlier_ends_on = cast('9999-12-31' as date) then 0
                when {{ customer_health.days_between('earlier_ends_on', 'starts_on') }}
                    > {{ customer_health.integer_var('renewal_grace_days') }} then 1
                else 0
            end
        ) over (
            partition by account_id
            order by starts_on, ends_on
            rows between unbounded preceding and current row
        ) as periods_so_far
    from with_earlier_end
),

-- intervals of the same dates come in any order, and belong together
numbered as (
    select
        *,
        max(periods_so_far) over (
            partition by account_id, starts_on, ends_on
        ) as period_number
    from counted
),

period_ends as (
    select
        account_id,
        period_number,
        min(starts_on) as starts_on,
        max(ends_on) as last_ends_on
    from numbered
    group by 1, 2
),

-- how the last interval of the period ended decides when its end was known
last_intervals as (
    select
        period_ends.account_id,
        period_ends.period_number,
        sum(case when numbered.is_paid then 1 else 0 end) as paid_interval_count,
        max(numbered.cancel_requested_on) as cancel_requested_on
    from period_ends
    inner join numbered
        on
            period_ends.account_id = numbered.account_id
            and period_ends.period_number = numbered.period_number
            and period_ends.last_ends_on = numbered.ends_on
    group by 1, 2
),

ended as (
    select
        period_ends.account_id,
        cast(period_ends.period_number as bigint) as period_number,
        period_ends.starts_on,
        last_intervals.cancel_requested_on,
        cast(accounts.trial_ends_at as date) as trial_ends_on,
        first_paid.first_paid_on,
        case
            when accounts.churn_reason = 'merged' and accounts.churned_at is not null
                then least(cast(accounts.churned_at as date), period_ends.last_ends_on)
            when period_ends.last_ends_on = cast('9999-12-31' as date) then null
            else period_ends.last_ends_on
        end as ends_on,
        last_intervals.paid_interval_count > 0 as ended_paid,
        accounts.churn_reason = 'merged' as is_merged,
        case when accounts.is_deleted then cast(accounts.updated_at as date) end as deleted_on
    from period_ends
    inner join last_intervals
        on
            period_ends.account_id = last_intervals.account_id
            and period_ends.period_number = last_intervals.period_number
    inner join accounts
        on period_ends.account_id = accounts.account_id
    left join first_paid
        on period_ends.account_id = first_paid.account_id
),

final as (
    select
        account_id,
        period_number,
        starts_on,
        ends_on,
        -- a cancellation or a merger is known when it takes effect; a term that ran out may still
        -- be renewed within the grace period
        case
            when ends_on is null then null
            when is_merged or not ended_paid or cancel_requested_on <= ends_on then ends_on
            else {{ customer_health.add_days(
                'ends_on', customer_health.integer_var('renewal_grace_days')
            ) }}
        end as end_known_on,
        cancel_requested_on,
        deleted_on,
        trial_ends_on,
        first_paid_on,
        -- a trial that was not bought is no churn
        ends_on is not null and (ended_paid or trial_ends_on is null) as is_churn
    from ended
    where ends_on is null or ends_on >= starts_on
)

select * from final
