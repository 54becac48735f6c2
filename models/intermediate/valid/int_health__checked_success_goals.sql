{{ config(materialized='table') }}

with

goals as (select * from {{ ref('stg_health__success_goals') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('success_goals', 'goals') | indent(8) }},
        {{ customer_health.row_key('success_goals', 'goals') }} as row_key,
        goals.loaded_at,
        case
            {{ customer_health.value_checks('success_goals', 'goals') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('goals', ['achieved_at']) }}
        end as rejection_reason
    from goals
    left join valid_accounts
        on goals.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('success_goals') }}

select * from final
