-- Only rows whose key occurs more than once come here: the others need no comparison.
{{ config(materialized='table') }}

with

checked as (select * from {{ ref('int_health__checked_product_events') }}),

windowed as (select * from {{ ref('int_health__windowed_product_events') }}),

{{ customer_health.settled_windowed_rows('product_events') }}

select * from final
