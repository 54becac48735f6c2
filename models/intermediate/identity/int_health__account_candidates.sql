{{ config(materialized='table') }}

with

link_values as (select * from {{ ref('int_health__account_link_values') }}),

account_map as (select * from {{ ref('account_map') }}),

link_methods as (select * from {{ ref('account_link_methods') }}),

account_aliases as (select * from {{ ref('int_health__account_aliases') }}),

crm_accounts as (select * from {{ ref('stg_health__crm_accounts') }}),

found_accounts as (
    select
        link_values.source_system,
        link_values.source_account_id,
        'map' as link_method,
        account_map.account_id
    from link_values
    inner join account_map
        on
            link_values.source_system = account_map.source_system
            and link_values.source_account_id = account_map.source_account_id
    where link_values.source_system <> 'crm'

    union all

    select
        source_values.source_system,
        source_values.source_account_id,
        source_values.link_method,
        crm_values.source_account_id as account_id
    from link_values as source_values
    inner join link_values as crm_values
        on
            source_values.link_method = crm_values.link_method
            and source_values.link_value = crm_values.link_value
    where
        source_values.source_system <> 'crm'
        and crm_values.source_system = 'crm'
        and not source_values.is_public_domain
),

-- an account that was merged into another one stands for that one
merged_accounts as (
    select distinct
        found_accounts.source_system,
        found_accounts.source_account_id,
        found_accounts.link_method,
        case
            when account_aliases.alias_account_id is null then found_accounts.account_id
            else account_aliases.account_id
        end as account_id
    from found_accounts
    left join account_aliases
        on found_accounts.account_id = account_aliases.alias_account_id
),

final as (
    select
        merged_accounts.source_system,
        merged_accounts.source_account_id,
        merged_accounts.link_method,
        merged_accounts.account_id,
        link_methods.confidence,
        link_methods.method_rank = min(link_methods.method_rank) over (
            partition by merged_accounts.source_system, merged_accounts.source_account_id
        ) as is_best_method
    from merged_accounts
    inner join link_methods
        on merged_accounts.link_method = link_methods.link_method
    inner join crm_accounts
        on merged_accounts.account_id = crm_accounts.account_id
    where crm_accounts.rejection_reason is null
)

select * from final
