{{ config(materialized='table') }}
{# doubling the way five times reaches 32 merges in a row #}
{% set rounds = 5 %}

with

crm_accounts as (select * from {{ ref('stg_health__crm_accounts') }}),

account_map as (select * from {{ ref('account_map') }}),

alias_rows as (
    select
        account_id as alias_account_id,
        merged_into_account_id as account_id
    from crm_accounts
    where merged_into_account_id is not null

    union all

    select
        source_account_id as alias_account_id,
        account_id
    from account_map
    where source_system = 'crm'
),

hops_0 as (
    select
        alias_account_id,
        max(account_id) as account_id
    from alias_rows
    where alias_account_id is not null
    group by 1
),

{% for round in range(rounds) %}
-- {{ 2 ** (round + 1) }} merges in a row
hops_{{ round + 1 }} as (
    select
        steps.alias_account_id,
        coalesce(next_steps.account_id, steps.account_id) as account_id
    from hops_{{ round }} as steps
    left join hops_{{ round }} as next_steps
        on steps.account_id = next_steps.alias_account_id
),

{% endfor %}
-- whoever still leads to an alias after all rounds goes round in a circle
final as (
    select
        hops_{{ rounds }}.alias_account_id,  -- noqa: ST06
        case
            when hops_0.alias_account_id is null then hops_{{ rounds }}.account_id
        end as account_id,
        hops_0.alias_account_id is not null as is_cycle
    from hops_{{ rounds }}
    left join hops_0
        on hops_{{ rounds }}.account_id = hops_0.alias_account_id
)

select * from final
