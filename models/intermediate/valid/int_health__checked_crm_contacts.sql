{{ config(materialized='table') }}

with

contacts as (select * from {{ ref('stg_health__crm_contacts') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('crm_contacts', 'contacts') | indent(8) }},
        {{ customer_health.row_key('crm_contacts', 'contacts') }} as row_key,
        contacts.loaded_at,
        case
            {{ customer_health.value_checks('crm_contacts', 'contacts') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('contacts', ['created_at']) }}
        end as rejection_reason
    from contacts
    left join valid_accounts
        on contacts.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('crm_contacts') }}

select * from final
