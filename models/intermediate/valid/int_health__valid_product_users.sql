with

checked as (select * from {{ ref('int_health__checked_product_users') }}),

final as (
    select
        {{ customer_health.contract_columns('product_users') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
