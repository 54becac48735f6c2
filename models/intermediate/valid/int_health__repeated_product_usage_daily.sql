-- Only rows whose key occurs more than once come here: the others need no comparison.
{{ config(materialized='table') }}

with

checked as (select * from {{ ref('int_health__checked_product_usage_daily') }}),

windowed as (select * from {{ ref('int_health__windowed_product_usage_daily') }}),

{{ customer_health.settled_windowed_rows('product_usage_daily') }}

select * from final
