-- Holds what `customer-health publish` inserts, like fct_health__publications; a build of the
-- project never adds a row, and never takes one away.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=false
) }}

with

final as (
    select
        cast(null as {{ dbt.type_string() }}) as publication_id,
        cast(null as {{ dbt.type_string() }}) as gate,
        cast(null as {{ dbt.type_string() }}) as rule,
        cast(null as {{ dbt.type_string() }}) as table_name,
        cast(null as {{ dbt.type_string() }}) as column_name,
        cast(null as {{ dbt.type_string() }}) as severity,
        cast(null as boolean) as is_passed,
        cast(null as {{ dbt.type_string() }}) as observed,
        cast(null as {{ dbt.type_string() }}) as expected,
        cast(null as {{ dbt.type_bigint() }}) as bad_row_count
    where 1 = 0
)

select * from final
