{{ config(materialized='table') }}

with

features as (select * from {{ ref('stg_health__product_features') }}),

checked as (
    select
        {{ customer_health.contract_columns('product_features', 'features') | indent(8) }},
        {{ customer_health.row_key('product_features', 'features') }} as row_key,
        features.loaded_at,
        case
            {{ customer_health.value_checks('product_features', 'features') }}
        end as rejection_reason
    from features
),

{{ customer_health.settled_rows('product_features') }}

select * from final
