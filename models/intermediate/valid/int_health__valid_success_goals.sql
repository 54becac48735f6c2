with

checked as (select * from {{ ref('int_health__checked_success_goals') }}),

final as (
    select
        {{ customer_health.contract_columns('success_goals') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
