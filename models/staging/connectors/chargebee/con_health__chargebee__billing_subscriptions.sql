{{ config(enabled=customer_health.is_connected('chargebee', 'billing_subscriptions')) }}

with

subscriptions as (
    {{ customer_health.vendor_rows('chargebee', 'subscription', [
        ['id', 'id', 'required'],
        ['customer_id', 'id', 'required'],
        ['status', 'code', 'required'],
        ['plan', 'label', 'optional', ['plan_id']],
        ['seats', 'integer', 'optional', ['plan_quantity']],
        ['mrr', 'double', 'required'],
        ['currency_code', 'currency', 'required'],
        ['started_at', 'timestamp', 'required', ['started_at', 'created_at']],
        ['cancelled_at', 'timestamp', 'optional'],
        ['cancel_requested_at', 'timestamp', 'optional', ['cancel_schedule_created_at']],
        ['renews_at', 'timestamp', 'optional', ['next_billing_at', 'current_term_end']],
        ['billing_period', 'integer', 'optional'],
        ['billing_period_unit', 'code', 'optional'],
        ['updated_at', 'timestamp', 'optional'],
        ['deleted', 'boolean', 'optional'],
    ], fills='billing_subscriptions') | indent(4) }}
),

items as (
    {{ customer_health.vendor_rows('chargebee', 'subscription_item', [
        ['subscription_id', 'id', 'required'],
        ['item_price_id', 'label', 'required'],
        ['item_type', 'code', 'optional'],
        ['quantity', 'integer', 'optional'],
    ], may_lack=true) | indent(4) }}
),

minor_units as (select * from {{ ref('currency_minor_units') }}),

plan_items as (
    select
        subscription_id,
        min(item_price_id) as plan,
        sum(quantity) as seats
    from items
    where item_type is null or item_type = 'plan'
    group by 1
),

final as (
    select
        subscriptions.id as subscription_id,
        subscriptions.customer_id as account_id,
        coalesce(subscriptions.plan, plan_items.plan) as plan,
        coalesce(subscriptions.seats, cast(plan_items.seats as {{ dbt.type_bigint() }})) as seats,
        {{ customer_health.from_minor_units('subscriptions.mrr', 'minor_units.minor_units') }}
            as mrr_amount,
        subscriptions.currency_code,
        subscriptions.started_at,
        case when subscriptions.status = 'cancelled' then subscriptions.cancelled_at end
            as ended_at,
        case when subscriptions.status <> 'cancelled' then subscriptions.renews_at end as renews_at,
        case
            when subscriptions.status = 'cancelled'
                then coalesce(subscriptions.cancel_requested_at, subscriptions.cancelled_at)
            when subscriptions.status = 'non_renewing'
                then coalesce(subscriptions.cancel_requested_at, subscriptions.updated_at)
        end as cancel_requested_at,
        case subscriptions.status
            when 'in_trial' then 'trialing'
            when 'non_renewing' then 'active'
            when 'paused' then 'past_due'
            else subscriptions.status
        end as status,
        cast(
            case
                when
                    {{ customer_health.months_of(
                        'subscriptions.billing_period_unit', 'subscriptions.billing_period'
                    ) }} >= 1
                    then {{ customer_health.months_of(
                        'subscriptions.billing_period_unit', 'subscriptions.billing_period'
                    ) }}
            end as {{ dbt.type_bigint() }}
        ) as billing_period_months,
        coalesce(subscriptions.updated_at, subscriptions.loaded_at) as updated_at,
        subscriptions.loaded_at
    from subscriptions
    left join plan_items
        on subscriptions.id = plan_items.subscription_id
    left join minor_units
        on subscriptions.currency_code = minor_units.currency_code
    -- what begins in the future has not begun
    where
        subscriptions.status <> 'future'
        and not coalesce(subscriptions.deleted, false)
)

select * from final
