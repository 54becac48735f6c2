-- Only rows whose key occurs more than once come here: the others need no comparison.
{{ config(materialized='table') }}

with

checked as (select * from {{ ref('int_health__checked_product_events') }}),

-- read once more: a CTE that is used twice would be kept as a whole
checked_keys as (
    select
        row_key,
        rejection_reason
    from {{ ref('int_health__checked_product_events') }}
),

{{ customer_health.repeated_rows('product_events', keys='checked_keys') }},

final as (
    select
        {{ customer_health.contract_columns('product_events') | indent(8) }},
        row_key,
        loaded_at,
        copy_count,
        rejection_reason
    from repeated_rows
)

select * from final
