{{ config(materialized='table') }}

with

tickets as (select * from {{ ref('stg_health__support_tickets') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('support_tickets', 'tickets') | indent(8) }},
        {{ customer_health.row_key('support_tickets', 'tickets') }} as row_key,
        tickets.loaded_at,
        case
            {{ customer_health.value_checks('support_tickets', 'tickets') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('tickets', ['opened_at', 'solved_at']) }}
            when
                tickets.solved_at < tickets.opened_at
                or tickets.first_response_at < tickets.opened_at
                then 'closed_before_opened'
            when
                tickets.complexity < 1
                or tickets.complexity > 5
                or tickets.reopen_count < 0
                or tickets.csat_score < 0
                or tickets.csat_scale_max <= 0
                or tickets.csat_score > tickets.csat_scale_max
                then 'out_of_range'
        end as rejection_reason
    from tickets
    left join valid_accounts
        on tickets.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('support_tickets') }}

select * from final
