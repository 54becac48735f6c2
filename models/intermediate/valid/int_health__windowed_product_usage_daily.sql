-- A view over the source and never a copy of it; the filter has to reach the scan.
{{ config(materialized='view') }}

with

usage_days as (select * from {{ ref('stg_health__product_usage_daily') }}),

rows_to_read as (
    select *
    from usage_days
    where {{ customer_health.usage_rebuild_filter('usage_date') }}
    {% if
        customer_health.usage_rebuild_from() is not none
        and customer_health.has_rows_without_day(ref('stg_health__product_usage_daily'), 'usage_date')
    %}

    union all

    -- a row whose day cannot be read is on no day, and no later run would see it
    select *
    from usage_days
    where usage_date is null
    {% endif %}
),

final as (
    select
        {{ customer_health.contract_columns('product_usage_daily') | indent(8) }},
        loaded_at,
        rejection_reason
    from rows_to_read
)

select * from final
