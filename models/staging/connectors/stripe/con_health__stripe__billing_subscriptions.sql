{{ config(enabled=customer_health.is_connected('stripe', 'billing_subscriptions')) }}
{% set subscription_columns = [
    ['id', 'id', 'required'],
    ['customer_id', 'id', 'required', ['customer_id', 'customer']],
    ['status', 'code', 'required'],
    ['plan', 'label', 'optional', []],
    ['seats', 'integer', 'optional', []],
    ['started_at', 'timestamp', 'required', ['start_date', 'start', 'created']],
    ['ended_at', 'timestamp', 'optional'],
    ['canceled_at', 'timestamp', 'optional'],
    ['cancel_at', 'timestamp', 'optional'],
    ['cancel_at_period_end', 'boolean', 'optional'],
    ['current_period_end', 'timestamp', 'optional'],
    ['livemode', 'boolean', 'optional'],
    ['is_active', 'boolean', 'optional', ['_fivetran_active']],
] %}

with

amounts as (select * from {{ ref('con_health__stripe__subscription_amounts') }}),

discounts as (select * from {{ ref('con_health__stripe__subscription_discounts') }}),

subscription_rows as (
    {{ customer_health.vendor_rows(
        'stripe', 'subscription', subscription_columns, fills='billing_subscriptions', may_lack=true
    ) | indent(4) }}
),

subscription_versions as (
    {{ customer_health.vendor_rows(
        'stripe', 'subscription_history', subscription_columns, fills='billing_subscriptions',
        may_lack=true
    ) | indent(4) }}
),

-- loaders land one or the other of the two tables, or both
subscriptions as (
    select * from subscription_rows

    union all

    select subscription_versions.*
    from subscription_versions
    left join subscription_rows
        on subscription_versions.id = subscription_rows.id
    where
        subscription_versions.is_active
        and subscription_rows.id is null
),

final as (
    select
        subscriptions.id as subscription_id,
        subscriptions.customer_id as account_id,
        coalesce(subscriptions.plan, amounts.plan) as plan,
        coalesce(subscriptions.seats, cast(amounts.seats as {{ dbt.type_bigint() }})) as seats,
        case
            when amounts.mrr_amount is not null
                then greatest(
                    amounts.mrr_amount * coalesce(discounts.kept_share, 1)
                    - coalesce(discounts.amount_off, 0) / amounts.months,
                    0
                )
        end as mrr_amount,
        amounts.currency_code,
        subscriptions.started_at,
        case
            when subscriptions.status = 'canceled'
                then coalesce(subscriptions.ended_at, subscriptions.canceled_at)
            else subscriptions.ended_at
        end as ended_at,
        coalesce(subscriptions.current_period_end, amounts.current_period_end) as renews_at,
        case
            when coalesce(subscriptions.cancel_at_period_end, false)
                or subscriptions.cancel_at is not null
                or subscriptions.status = 'canceled'
                then subscriptions.canceled_at
        end as cancel_requested_at,
        case subscriptions.status
            when 'canceled' then 'cancelled'
            when 'unpaid' then 'past_due'
            when 'paused' then 'past_due'
            else subscriptions.status
        end as status,
        case
            when amounts.months >= 1
                then cast(amounts.months as {{ dbt.type_bigint() }})
        end as billing_period_months,
        subscriptions.loaded_at as updated_at,
        subscriptions.loaded_at
    from subscriptions
    left join amounts
        on subscriptions.id = amounts.subscription_id
    left join discounts
        on subscriptions.id = discounts.subscription_id
    -- what was never paid for never began; test mode is no business
    where
        subscriptions.status not in ('incomplete', 'incomplete_expired')
        and coalesce(subscriptions.livemode, true)
)

select * from final
