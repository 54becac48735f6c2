{{ config(enabled=customer_health.is_connected('zendesk', 'support_tickets')) }}
{% set has_comments = customer_health.vendor_columns(
    source('customer_health_zendesk', 'ticket_comment')
) %}
{# where the ratings are survey responses, they are none of the tickets', too #}
{% set has_ratings = customer_health.connector_of('survey_responses') != 'zendesk' %}

with

tickets as (
    {{ customer_health.vendor_rows('zendesk', 'ticket', [
        ['id', 'id', 'required'],
        ['organization_id', 'id', 'optional'],
        ['requester_id', 'id', 'optional'],
        ['created_at', 'timestamp', 'required'],
        ['updated_at', 'timestamp', 'required'],
        ['status', 'code', 'required'],
        ['priority', 'code', 'optional'],
        ['type', 'code', 'optional'],
        ['complexity', 'double', 'optional'],
        ['is_escalated', 'boolean', 'optional'],
        ['tags', 'code', 'optional'],
        ['csat_score', 'double', 'optional', []],
        ['csat_scale_max', 'double', 'optional', []],
        ['rating', 'code', 'optional', ['satisfaction_rating_score', 'satisfaction_rating__score',
            'satisfaction_rating.score']],
    ], fills='support_tickets') | indent(4) }}
),

comments as (
    {{ customer_health.vendor_rows('zendesk', 'ticket_comment', [
        ['ticket_id', 'id', 'required'],
        ['user_id', 'id', 'optional'],
        ['public', 'boolean', 'optional'],
        ['created', 'timestamp', 'required', ['created', 'created_at']],
    ], may_lack=true) | indent(4) }}
),

changes as (
    {{ customer_health.vendor_rows('zendesk', 'ticket_field_history', [
        ['ticket_id', 'id', 'required'],
        ['field_name', 'code', 'required'],
        ['value', 'code', 'optional'],
        ['user_id', 'id', 'optional'],
        ['updated', 'timestamp', 'required', ['updated', 'updated_at']],
    ], may_lack=true) | indent(4) }}
),

tags as (
    {{ customer_health.vendor_rows('zendesk', 'ticket_tag', [
        ['ticket_id', 'id', 'required'],
        ['tag', 'code', 'required'],
    ], may_lack=true) | indent(4) }}
),

metrics as (
    {{ customer_health.vendor_rows('zendesk', 'ticket_metrics', [
        ['ticket_id', 'id', 'required'],
        ['reopen_count', 'integer', 'optional', ['reopens']],
        ['solved_at', 'timestamp', 'optional'],
        ['reply_minutes', 'double', 'optional', ['reply_time_in_minutes_calendar',
            'reply_time_in_minutes__calendar', 'reply_time_in_minutes.calendar']],
    ], may_lack=true) | indent(4) }}
),

users as (select * from {{ ref('con_health__zendesk__users') }}),

agents as (
    select id
    from users
    where role in ('agent', 'admin')
),

{% if has_comments -%}
-- what an agent wrote for the customer to read, after what the ticket began with
answers as (
    select
        comments.ticket_id,
        min(comments.created) as first_response_at
    from comments
    inner join agents
        on comments.user_id = agents.id
    inner join tickets
        on comments.ticket_id = tickets.id
    where
        coalesce(comments.public, true)
        and comments.created > tickets.created_at
        and comments.user_id <> coalesce(tickets.requester_id, '')
    group by 1
),

{%- else -%}
-- without comments: an agent who waits for the customer, or is done, has answered
answers as (
    select
        changes.ticket_id,
        min(changes.updated) as first_response_at
    from changes
    inner join agents
        on changes.user_id = agents.id
    where
        changes.field_name = 'status'
        and changes.value in ('pending', 'solved')
    group by 1
),

{%- endif %}

-- a ticket that was merged into another one is told there
merged_tickets as (
    select distinct ticket_id
    from tags
    where tag = 'closed_by_merge'
),

status_changes as (
    select
        ticket_id,
        value as status,
        updated,
        lag(value) over (partition by ticket_id order by updated, value) as status_before
    from changes
    where field_name = 'status'
),

statuses as (
    select
        ticket_id,
        max(
            case
                when
                    status in ('solved', 'closed')
                    and coalesce(status_before, 'open') not in ('solved', 'closed')
                    then updated
            end
        ) as solved_at,
        sum(
            case
                when status_before in ('solved', 'closed') and status not in ('solved', 'closed')
                    then 1
                else 0
            end
        ) as reopen_count
    from status_changes
    group by 1
),

ratings as (
    select
        ticket_id,
        value as rating,
        row_number() over (partition by ticket_id order by updated desc, value asc) as position
    from changes
    where
        field_name = 'satisfaction_score'
        and (value like 'good%' or value like 'bad%')
),

rated_tickets as (
    select
        tickets.id,
        coalesce(
            ratings.rating,
            case
                when tickets.rating like 'good%' or tickets.rating like 'bad%' then tickets.rating
            end
        ) as rating
    from tickets
    left join ratings
        on
            tickets.id = ratings.ticket_id
            and ratings.position = 1
),

final as (
    select
        tickets.id as ticket_id,
        {{ customer_health.account_key(
            'coalesce(tickets.organization_id, users.organization_id)', 'users.email'
        ) }} as account_id,
        tickets.requester_id as contact_id,
        tickets.created_at as opened_at,
        coalesce(
            answers.first_response_at,
            {{ dbt.dateadd(
                'second',
                'cast(metrics.reply_minutes * 60 as ' ~ dbt.type_int() ~ ')',
                'tickets.created_at'
            ) }}
        ) as first_response_at,
        case
            when tickets.status in ('solved', 'closed')
                then coalesce(statuses.solved_at, metrics.solved_at, tickets.updated_at)
        end as solved_at,
        case tickets.status
            when 'new' then 'open'
            when 'hold' then 'pending'
            else tickets.status
        end as status,
        coalesce(tickets.priority, 'normal') as priority,
        tickets.complexity,
        case tickets.type
            when 'incident' then 'defect'
            when 'problem' then 'defect'
            when 'task' then 'request'
            else tickets.type
        end as ticket_type,
        coalesce(statuses.reopen_count, metrics.reopen_count) as reopen_count,
        tickets.is_escalated,
        {%- if has_ratings %}
        coalesce(
            tickets.csat_score,
            case
                when rated_tickets.rating like 'good%' then 2
                when rated_tickets.rating like 'bad%' then 1
            end
        ) as csat_score,
        case
            when tickets.csat_score is not null then coalesce(tickets.csat_scale_max, 5)
            when rated_tickets.rating is not null then 2
        end as csat_scale_max,
        {%- endif %}
        tickets.updated_at,
        tickets.loaded_at
    from tickets
    left join users
        on tickets.requester_id = users.id
    left join answers
        on tickets.id = answers.ticket_id
    left join statuses
        on tickets.id = statuses.ticket_id
    left join metrics
        on tickets.id = metrics.ticket_id
    left join rated_tickets
        on tickets.id = rated_tickets.id
    left join merged_tickets
        on tickets.id = merged_tickets.ticket_id
    left join agents
        on tickets.requester_id = agents.id
    where
        tickets.status <> 'deleted'
        and merged_tickets.ticket_id is null
        and coalesce(tickets.tags, '') not like '%closed_by_merge%'
        -- what an agent asks, for no customer, is ours
        and (agents.id is null or tickets.organization_id is not null)
)

select * from final
