{{ config(materialized='table') }}

with

milestones as (select * from {{ ref('stg_health__onboarding_milestones') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('onboarding_milestones', 'milestones') | indent(8) }},
        {{ customer_health.row_key('onboarding_milestones', 'milestones') }} as row_key,
        milestones.loaded_at,
        case
            {{ customer_health.value_checks('onboarding_milestones', 'milestones') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('milestones', ['completed_at']) }}
            when milestones.weight < 0 then 'out_of_range'
        end as rejection_reason
    from milestones
    left join valid_accounts
        on milestones.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('onboarding_milestones') }}

select * from final
