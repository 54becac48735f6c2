with

checked as (select * from {{ ref('int_health__checked_crm_action_updates') }}),

final as (
    select
        {{ customer_health.contract_columns('crm_action_updates') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
