with

rejected_rows as (select * from {{ ref('int_health__rejected_rows') }}),

final as (
    select
        cast(source_table as {{ dbt.type_string() }}) as source_table,
        cast(row_key as {{ dbt.type_string() }}) as row_key,
        cast(rejection_reason as {{ dbt.type_string() }}) as rejection_reason,
        cast(row_count as {{ dbt.type_bigint() }}) as row_count,
        {{ customer_health.as_of_date() }} as as_of_date
    from rejected_rows
)

select * from final
