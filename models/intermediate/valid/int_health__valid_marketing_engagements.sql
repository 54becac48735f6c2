with

checked as (select * from {{ ref('int_health__checked_marketing_engagements') }}),

final as (
    select
        {{ customer_health.contract_columns('marketing_engagements') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
