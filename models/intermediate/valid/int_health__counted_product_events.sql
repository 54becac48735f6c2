-- The one count of the rows that a run reads: what is said about the source comes from here.
{{ config(materialized='table') }}

with

checked as (select * from {{ ref('int_health__checked_product_events') }}),

{{ customer_health.counted_rows('product_events') }}

select * from final
