{{ config(materialized='table') }}

with

tickets as (select * from {{ ref('stg_health__support_tickets') }}),

account_starts as (select * from {{ ref('int_health__account_starts') }}),

checked as (
    select
        {{ customer_health.contract_columns('support_tickets', 'tickets') | indent(8) }},
        {{ customer_health.row_key('support_tickets', 'tickets') }} as row_key,
        tickets.loaded_at,
        case
            {{ customer_health.value_checks('support_tickets', 'tickets') }}
            when account_starts.account_id is null then 'orphan'
            {{ customer_health.account_start_check('tickets', 'opened_at') }}
            {{- customer_health.moment_checks('tickets', ['opened_at', 'solved_at']) }}
            when
                {{ customer_health.is_closed_early('tickets.opened_at', 'tickets.solved_at') }}
                or tickets.first_response_at < tickets.opened_at
                then 'closed_before_opened'
            when
                tickets.complexity < 1
                or tickets.complexity > 5
                or tickets.reopen_count < 0
                or tickets.csat_score < 1
                or tickets.csat_scale_max <= 0
                or tickets.csat_score > tickets.csat_scale_max
                then 'out_of_range'
        end as rejection_reason
    from tickets
    left join account_starts
        on tickets.account_id = account_starts.account_id
),

{{ customer_health.settled_rows('support_tickets') }}

select * from final
