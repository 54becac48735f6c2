with

checked as (select * from {{ ref('int_health__checked_billing_exchange_rates') }}),

final as (
    select
        {{ customer_health.contract_columns('billing_exchange_rates') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
