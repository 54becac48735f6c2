{{ config(enabled=customer_health.is_connected('stripe', 'billing_subscriptions')) }}

with

discounts as (
    {{ customer_health.vendor_rows('stripe', 'subscription_discount', [
        ['subscription_id', 'id', 'required', ['subscription_id', 'subscription']],
        ['coupon_id', 'id', 'required', ['coupon_id', 'coupon.id']],
        ['starts_at', 'timestamp', 'optional', ['start']],
        ['ends_at', 'timestamp', 'optional', ['end']],
    ], may_lack=true) | indent(4) }}
),

coupons as (
    {{ customer_health.vendor_rows('stripe', 'coupon', [
        ['id', 'id', 'required'],
        ['duration', 'code', 'required'],
        ['percent_off', 'double', 'optional'],
        ['amount_off', 'double', 'optional'],
        ['currency', 'currency', 'optional'],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

minor_units as (select * from {{ ref('currency_minor_units') }}),

-- a coupon for one invoice takes nothing off what recurs
current_coupons as (
    select
        discounts.subscription_id,
        coalesce(coupons.percent_off, 0) as percent_off,
        {{ customer_health.from_minor_units(
            'coupons.amount_off', 'minor_units.stripe_minor_units'
        ) }} as amount_off
    from discounts
    inner join coupons
        on discounts.coupon_id = coupons.id
    left join minor_units
        on coupons.currency = minor_units.currency_code
    where
        coupons.duration <> 'once'
        and (
            discounts.starts_at is null
            or discounts.starts_at < {{ customer_health.end_of_as_of_date() }}
        )
        and (
            discounts.ends_at is null
            or discounts.ends_at >= {{ customer_health.end_of_as_of_date() }}
        )
),

-- Stripe takes one percentage off what the other left
final as (
    select
        subscription_id,
        case
            when max(percent_off) >= 100 then 0
            else exp(sum(ln(1 - case when percent_off < 100 then percent_off else 0 end / 100.0)))
        end as kept_share,
        sum(amount_off) as amount_off
    from current_coupons
    group by 1
)

select * from final
