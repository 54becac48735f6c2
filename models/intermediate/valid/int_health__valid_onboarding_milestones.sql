with

checked as (select * from {{ ref('int_health__checked_onboarding_milestones') }}),

final as (
    select
        {{ customer_health.contract_columns('onboarding_milestones') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
