{{ config(enabled=customer_health.is_connected('zendesk', 'survey_responses')) }}

with

tickets as (
    {{ customer_health.vendor_rows('zendesk', 'ticket', [
        ['id', 'id', 'required'],
        ['organization_id', 'id', 'optional'],
        ['requester_id', 'id', 'optional'],
        ['status', 'code', 'optional'],
    ]) | indent(4) }}
),

users as (select * from {{ ref('con_health__zendesk__users') }}),

changes as (
    {{ customer_health.vendor_rows('zendesk', 'ticket_field_history', [
        ['ticket_id', 'id', 'required'],
        ['field_name', 'code', 'required'],
        ['value', 'code', 'optional'],
        ['updated', 'timestamp', 'required', ['updated', 'updated_at']],
    ], fills='survey_responses') | indent(4) }}
),

numbered_ratings as (
    select
        ticket_id,
        value as rating,
        updated,
        loaded_at,
        row_number() over (partition by ticket_id order by updated desc, value asc) as position
    from changes
    where
        field_name = 'satisfaction_score'
        and (value like 'good%' or value like 'bad%')
),

-- the last word of the customer about a ticket
final as (
    select
        'csat|' || tickets.id as response_id,
        {{ customer_health.account_key(
            'coalesce(tickets.organization_id, users.organization_id)', 'users.email'
        ) }} as account_id,
        tickets.requester_id as contact_id,
        'csat' as survey_type,
        case when numbered_ratings.rating like 'good%' then 1 else 0 end as score,
        0 as scale_min,
        1 as scale_max,
        numbered_ratings.updated as responded_at,
        numbered_ratings.loaded_at
    from numbered_ratings
    inner join tickets
        on numbered_ratings.ticket_id = tickets.id
    left join users
        on tickets.requester_id = users.id
    where
        numbered_ratings.position = 1
        and coalesce(tickets.status, 'open') <> 'deleted'
)

select * from final
