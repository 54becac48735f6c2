-- Holds what `customer-health publish` inserts; a build of the project never adds a row, and never
-- takes one away.
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
        cast(null as timestamp) as published_at,
        cast(null as date) as as_of_date,
        cast(null as {{ dbt.type_string() }}) as scoring_version,
        cast(null as {{ dbt.type_string() }}) as policy_hash,
        cast(null as {{ dbt.type_string() }}) as git_sha,
        cast(null as bigint) as account_count,
        cast(null as bigint) as scored_account_count,
        cast(null as bigint) as checks_run,
        cast(null as bigint) as checks_passed,
        cast(null as timestamp) as newest_input_at,
        cast(null as boolean) as is_backfill
    where 1 = 0
)

select * from final
