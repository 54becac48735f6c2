with

checked as (select * from {{ ref('int_health__checked_billing_subscriptions') }}),

final as (
    select
        {{ customer_health.contract_columns('billing_subscriptions') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
