{{ config(materialized='table') }}

with

sentiments as (select * from {{ ref('stg_health__crm_csm_sentiments') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('crm_csm_sentiments', 'sentiments') | indent(8) }},
        {{ customer_health.row_key('crm_csm_sentiments', 'sentiments') }} as row_key,
        sentiments.loaded_at,
        case
            {{ customer_health.value_checks('crm_csm_sentiments', 'sentiments') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('sentiments', ['recorded_at']) }}
            when sentiments.sentiment < 1 or sentiments.sentiment > 5 then 'out_of_range'
        end as rejection_reason
    from sentiments
    left join valid_accounts
        on sentiments.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('crm_csm_sentiments') }}

select * from final
