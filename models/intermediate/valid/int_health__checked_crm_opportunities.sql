{{ config(materialized='table') }}

with

opportunities as (select * from {{ ref('stg_health__crm_opportunities') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('crm_opportunities', 'opportunities') | indent(8) }},
        {{ customer_health.row_key('crm_opportunities', 'opportunities') }} as row_key,
        opportunities.loaded_at,
        case
            {{ customer_health.value_checks('crm_opportunities', 'opportunities') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('opportunities', ['created_at']) }}
            when {{ customer_health.is_closed_early(
                'opportunities.created_at', 'opportunities.closed_at'
            ) }}
                then 'closed_before_opened'
            when opportunities.amount < 0 then 'negative_amount'
        end as rejection_reason
    from opportunities
    left join valid_accounts
        on opportunities.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('crm_opportunities') }}

select * from final
