{{ config(materialized='table') }}

with

overrides as (select * from {{ ref('stg_health__crm_health_overrides') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('crm_health_overrides', 'overrides') | indent(8) }},
        {{ customer_health.row_key('crm_health_overrides', 'overrides') }} as row_key,
        overrides.loaded_at,
        case
            {{ customer_health.value_checks('crm_health_overrides', 'overrides') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('overrides', ['created_at']) }}
            when {{ customer_health.is_closed_early(
                'overrides.created_at', 'overrides.expires_at'
            ) }}
                then 'closed_before_opened'
        end as rejection_reason
    from overrides
    left join valid_accounts
        on overrides.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('crm_health_overrides') }}

select * from final
