{{ config(materialized='table') }}

with

engagements as (select * from {{ ref('stg_health__marketing_engagements') }}),

account_starts as (select * from {{ ref('int_health__account_starts') }}),

checked as (
    select
        {{ customer_health.contract_columns('marketing_engagements', 'engagements') | indent(8) }},
        {{ customer_health.row_key('marketing_engagements', 'engagements') }} as row_key,
        engagements.loaded_at,
        case
            {{ customer_health.value_checks('marketing_engagements', 'engagements') }}
            when account_starts.account_id is null then 'orphan'
            {{ customer_health.account_start_check('engagements', 'occurred_at') }}
            {{- customer_health.moment_checks('engagements', ['occurred_at']) }}
        end as rejection_reason
    from engagements
    left join account_starts
        on engagements.account_id = account_starts.account_id
),

{{ customer_health.settled_rows('marketing_engagements') }}

select * from final
