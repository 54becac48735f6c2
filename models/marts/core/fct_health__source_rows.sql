{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_as_of_date() }}"
) }}

with

source_rows as (select * from {{ ref('int_health__source_rows') }}),

{% if is_incremental() %}

-- a run reads the last days of events only; what came before them is not forgotten
earlier_rows as (
    select
        source_table,
        max(newest_at) as newest_at
    from {{ this }}
    where as_of_date < {{ customer_health.as_of_date() }}
    group by 1
),

{% else %}

earlier_rows as (
    select
        source_table,
        newest_at
    from source_rows
    where 1 = 0
),

{% endif %}

final as (
    select
        cast(source_rows.source_table as {{ dbt.type_string() }}) as source_table,
        {{ customer_health.as_of_date() }} as as_of_date,
        cast(source_rows.row_count as {{ dbt.type_bigint() }}) as row_count,
        cast(source_rows.kept_count as {{ dbt.type_bigint() }}) as kept_count,
        cast(source_rows.exact_duplicate_count as {{ dbt.type_bigint() }})
            as exact_duplicate_count,
        cast(source_rows.rejected_count as {{ dbt.type_bigint() }}) as rejected_count,
        cast(source_rows.orphan_count as {{ dbt.type_bigint() }}) as orphan_count,
        cast(
            coalesce(source_rows.newest_at, earlier_rows.newest_at) as {{ dbt.type_timestamp() }}
        ) as newest_at
    from source_rows
    left join earlier_rows
        on source_rows.source_table = earlier_rows.source_table
)

select * from final
