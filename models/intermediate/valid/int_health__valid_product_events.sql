with

checked as (select * from {{ ref('int_health__checked_product_events') }}),

repeated as (select * from {{ ref('int_health__repeated_product_events') }}),

repeated_keys as (
    select distinct row_key
    from repeated
),

final as (
    select
        {{ customer_health.contract_columns('product_events', 'checked') | indent(8) }},
        checked.loaded_at
    from checked
    left join repeated_keys
        on checked.row_key = repeated_keys.row_key
    where
        checked.rejection_reason is null
        and repeated_keys.row_key is null

    union all

    select
        {{ customer_health.contract_columns('product_events') | indent(8) }},
        loaded_at
    from repeated
    where rejection_reason is null
)

select * from final
