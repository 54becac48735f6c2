-- Only rows whose key occurs more than once come here: the others need no comparison.
{{ config(materialized='table') }}

with

checked as (select * from {{ ref('int_health__checked_product_events') }}),

events as (
    select *
    from {{ ref('stg_health__product_events') }}
    where {{ customer_health.usage_rebuild_filter('occurred_at') }}
),

-- from staging, so that the engine neither checks every row for this nor keeps the checked rows
staged_keys as (
    select {{ customer_health.row_key('product_events', 'events') }} as row_key
    from events
),

{{ customer_health.repeated_rows('product_events', keys='staged_keys') }},

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
