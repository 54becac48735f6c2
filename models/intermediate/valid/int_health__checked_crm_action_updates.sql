{{ config(materialized='table') }}

with

updates as (select * from {{ ref('stg_health__crm_action_updates') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('crm_action_updates', 'updates') | indent(8) }},
        {{ customer_health.row_key('crm_action_updates', 'updates') }} as row_key,
        updates.loaded_at,
        case
            {{ customer_health.value_checks('crm_action_updates', 'updates') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('updates', ['recorded_at']) }}
            -- another word says nothing that an action could become
            when updates.state not in ('acknowledged', 'done') then 'out_of_range'
        end as rejection_reason
    from updates
    left join valid_accounts
        on updates.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('crm_action_updates') }}

select * from final
