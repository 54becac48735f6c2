{{ config(
    materialized='incremental',
    incremental_strategy=customer_health.keyed_strategy(),
    unique_key=['source_table', 'row_key', 'rejection_reason'],
    on_schema_change='fail',
    full_refresh=var('customer_health__allow_full_refresh', false)
) }}

with

rejected_rows as (select * from {{ ref('int_health__rejected_rows') }}),

{% if is_incremental() %}

known_rows as (select * from {{ this }}),

{% else %}

known_rows as (
    select
        source_table,
        row_key,
        rejection_reason,
        {{ customer_health.as_of_date() }} as first_seen_date,
        {{ customer_health.as_of_date() }} as last_seen_date,
        cast(null as {{ dbt.type_string() }}) as first_seen_run
    from rejected_rows
    where 1 = 0
),

{% endif %}

final as (
    select
        cast(rejected_rows.source_table as {{ dbt.type_string() }}) as source_table,
        cast(rejected_rows.row_key as {{ dbt.type_string() }}) as row_key,
        cast(rejected_rows.rejection_reason as {{ dbt.type_string() }}) as rejection_reason,
        cast(rejected_rows.row_count as {{ dbt.type_bigint() }}) as row_count,
        coalesce(known_rows.first_seen_date, {{ customer_health.as_of_date() }})
            as first_seen_date,
        -- a backfill looks back from an earlier date
        greatest(
            coalesce(known_rows.last_seen_date, {{ customer_health.as_of_date() }}),
            {{ customer_health.as_of_date() }}
        ) as last_seen_date,
        case
            when known_rows.source_table is null
                then {{ customer_health.optional_code_var('run_id') }}
            else known_rows.first_seen_run
        end as first_seen_run
    from rejected_rows
    left join known_rows
        on
            rejected_rows.source_table = known_rows.source_table
            and rejected_rows.row_key = known_rows.row_key
            and rejected_rows.rejection_reason = known_rows.rejection_reason
)

select * from final
