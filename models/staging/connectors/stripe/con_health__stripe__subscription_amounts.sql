{{ config(enabled=customer_health.is_connected('stripe', 'billing_subscriptions')) }}

with

items as (
    {{ customer_health.vendor_rows('stripe', 'subscription_item', [
        ['subscription_id', 'id', 'required', ['subscription_id', 'subscription']],
        ['price_id', 'id', 'optional', ['price_id', 'plan_id', 'price.id', 'plan.id']],
        ['quantity', 'double', 'optional'],
        ['current_period_end', 'timestamp', 'optional'],
    ]) | indent(4) }}
),

prices as (
    {{ customer_health.vendor_rows('stripe', 'price', [
        ['id', 'id', 'required'],
        ['product_id', 'id', 'optional', ['product_id', 'product']],
        ['nickname', 'label', 'optional'],
        ['currency', 'currency', 'required'],
        ['amount', 'double', 'optional', ['unit_amount_decimal', 'unit_amount']],
        ['billing_interval', 'code', 'optional', ['recurring_interval', "recurring.interval"]],
        ['interval_count', 'integer', 'optional', ['recurring_interval_count',
            'recurring.interval_count']],
        ['usage_type', 'code', 'optional', ['recurring_usage_type', 'recurring.usage_type']],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

plans as (
    {{ customer_health.vendor_rows('stripe', 'plan', [
        ['id', 'id', 'required'],
        ['product_id', 'id', 'optional', ['product_id', 'product']],
        ['nickname', 'label', 'optional'],
        ['currency', 'currency', 'required'],
        ['amount', 'double', 'optional', ['amount_decimal', 'amount']],
        ['billing_interval', 'code', 'optional', ["interval"]],
        ['interval_count', 'integer', 'optional'],
        ['usage_type', 'code', 'optional'],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

products as (
    {{ customer_health.vendor_rows('stripe', 'product', [
        ['id', 'id', 'required'],
        ['name', 'label', 'optional'],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

minor_units as (select * from {{ ref('currency_minor_units') }}),

-- a plan is a price in an older form: the same id never means two things
all_prices as (
    select * from prices

    union all

    select plans.*
    from plans
    left join prices
        on plans.id = prices.id
    where prices.id is null
),

item_amounts as (
    select
        items.subscription_id,
        coalesce(products.name, all_prices.nickname, all_prices.product_id, all_prices.id) as plan,
        all_prices.currency as currency_code,
        coalesce(items.quantity, 1) as quantity,
        all_prices.amount,
        {{ customer_health.months_of('all_prices.billing_interval', 'all_prices.interval_count') }}
            as months,
        minor_units.stripe_minor_units as minor_units,
        items.current_period_end
    from items
    inner join all_prices
        on items.price_id = all_prices.id
    left join products
        on all_prices.product_id = products.id
    left join minor_units
        on all_prices.currency = minor_units.currency_code
    -- what is metered is not known before it is used, and recurs in no fixed amount
    where coalesce(all_prices.usage_type, 'licensed') <> 'metered'
),

monthly_items as (
    select
        subscription_id,
        plan,
        currency_code,
        quantity,
        months,
        current_period_end,
        {{ customer_health.from_minor_units('amount', 'minor_units') }} * quantity / months
            as mrr_amount
    from item_amounts
),

ranked_items as (
    select
        monthly_items.*,
        row_number() over (
            partition by monthly_items.subscription_id
            order by monthly_items.mrr_amount desc nulls last, monthly_items.plan asc
        ) as position
    from monthly_items
),

-- a price in tiers has no single amount: its subscription is told as such, and never as free
final as (
    select
        subscription_id,
        max(case when position = 1 then plan end) as plan,
        max(case when position = 1 then currency_code end) as currency_code,
        max(case when position = 1 then months end) as months,
        case when count(mrr_amount) = count(*) then sum(mrr_amount) end as mrr_amount,
        sum(quantity) as seats,
        max(current_period_end) as current_period_end
    from ranked_items
    group by 1
)

select * from final
