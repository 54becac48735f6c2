with

checked as (select * from {{ ref('int_health__checked_survey_responses') }}),

final as (
    select
        {{ customer_health.contract_columns('survey_responses') | indent(8) }},
        loaded_at
    from checked
    where rejection_reason is null
)

select * from final
