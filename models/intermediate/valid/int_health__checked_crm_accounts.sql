{{ config(materialized='table') }}

with

accounts as (select * from {{ ref('stg_health__crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('crm_accounts', 'accounts') | indent(8) }},
        {{ customer_health.row_key('crm_accounts', 'accounts') }} as row_key,
        accounts.loaded_at,
        case
            {{ customer_health.value_checks('crm_accounts', 'accounts') }}
            {{- customer_health.moment_checks('accounts', ['created_at'], is_past=false) }}
            when {{ customer_health.is_closed_early('accounts.created_at', 'accounts.churned_at') }}
                then 'closed_before_opened'
            when accounts.seats_licensed < 0 or accounts.review_cadence_days < 0 then 'out_of_range'
        end as rejection_reason
    from accounts
),

{{ customer_health.settled_rows('crm_accounts') }}

select * from final
