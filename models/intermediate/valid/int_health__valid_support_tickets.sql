with

checked as (select * from {{ ref('int_health__checked_support_tickets') }}),

final as (
    select
        {{ customer_health.contract_columns('support_tickets') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
