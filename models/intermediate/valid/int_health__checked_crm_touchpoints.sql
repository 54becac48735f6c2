{{ config(materialized='table') }}

with

touchpoints as (select * from {{ ref('stg_health__crm_touchpoints') }}),

account_starts as (select * from {{ ref('int_health__account_starts') }}),

checked as (
    select
        {{ customer_health.contract_columns('crm_touchpoints', 'touchpoints') | indent(8) }},
        {{ customer_health.row_key('crm_touchpoints', 'touchpoints') }} as row_key,
        touchpoints.loaded_at,
        case
            {{ customer_health.value_checks('crm_touchpoints', 'touchpoints') }}
            when account_starts.account_id is null then 'orphan'
            {{ customer_health.account_start_check('touchpoints', 'occurred_at') }}
            {{- customer_health.moment_checks('touchpoints', ['occurred_at']) }}
        end as rejection_reason
    from touchpoints
    left join account_starts
        on touchpoints.account_id = account_starts.account_id
),

{{ customer_health.settled_rows('crm_touchpoints') }}

select * from final
