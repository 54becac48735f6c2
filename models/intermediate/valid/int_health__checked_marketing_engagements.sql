{{ config(materialized='table') }}

with

engagements as (select * from {{ ref('stg_health__marketing_engagements') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('marketing_engagements', 'engagements') | indent(8) }},
        {{ customer_health.row_key('marketing_engagements', 'engagements') }} as row_key,
        engagements.loaded_at,
        case
            {{ customer_health.value_checks('marketing_engagements', 'engagements') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('engagements', ['occurred_at']) }}
        end as rejection_reason
    from engagements
    left join valid_accounts
        on engagements.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('marketing_engagements') }}

select * from final
