with

account_identity as (select * from {{ ref('int_health__account_identity') }}),

final as (
    select
        cast(source_system as {{ dbt.type_string() }}) as source_system,
        cast(source_account_id as {{ dbt.type_string() }}) as source_account_id,
        cast(account_id as {{ dbt.type_string() }}) as account_id,
        cast(link_state as {{ dbt.type_string() }}) as link_state,
        cast(link_method as {{ dbt.type_string() }}) as link_method,
        cast(confidence as {{ customer_health.type_double() }}) as confidence,
        cast(candidate_account_ids as {{ dbt.type_string() }}) as candidate_account_ids,
        cast(candidate_count as {{ dbt.type_bigint() }}) as candidate_count,
        has_public_domain,
        is_contradicted
    from account_identity
)

select * from final
