with

ticket_rows as (select * from {{ source('ravenstack', 'support_tickets') }}),

account_rows as (select * from {{ source('ravenstack', 'accounts') }}),

tickets as (
    select ticket_rows.*
    from ticket_rows
    inner join account_rows
        on ticket_rows.account_id = account_rows.account_id
    {% if not var('ravenstack_keep_early_rows', false) %}
    where ticket_rows.submitted_at >= account_rows.signup_date
    {% endif %}
),

final as (
    select
        ticket_id,
        account_id,
        cast(null as varchar) as contact_id,
        cast(submitted_at as timestamp) as opened_at,
        -- the response is counted in minutes from the opening, of which only the day is known
        cast(null as timestamp) as first_response_at,
        cast(closed_at as timestamp) as solved_at,
        case when closed_at is null then 'open' else 'closed' end as status,
        case when priority = 'medium' then 'normal' else priority end as priority,
        cast(null as double) as complexity,
        cast(null as varchar) as ticket_type,
        cast(null as bigint) as reopen_count,
        escalation_flag as is_escalated,
        cast(satisfaction_score as double) as csat_score,
        cast(case when satisfaction_score is not null then 5 end as double) as csat_scale_max,
        cast(coalesce(closed_at, submitted_at) as timestamp) as updated_at,
        cast(null as timestamp) as loaded_at,
        case
            when ticket_id is null or account_id is null then 'null_key'
            when submitted_at is null then 'missing_value'
        end as rejection_reason
    from tickets
)

select * from final
