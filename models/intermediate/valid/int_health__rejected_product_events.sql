{{ config(materialized='table') }}

with

checked as (select * from {{ ref('int_health__checked_product_events') }}),

repeated as (select * from {{ ref('int_health__repeated_product_events') }}),

rejected as (
    select
        row_key,
        rejection_reason,
        count(*) as row_count
    from checked
    where rejection_reason is not null
    group by 1, 2

    union all

    select
        row_key,
        rejection_reason,
        sum(copy_count) as row_count
    from repeated
    where rejection_reason is not null
    group by 1, 2
),

final as (
    select
        row_key,
        rejection_reason,
        cast(row_count as {{ dbt.type_bigint() }}) as row_count
    from rejected
)

select * from final
