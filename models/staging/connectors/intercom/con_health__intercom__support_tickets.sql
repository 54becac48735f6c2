{{ config(enabled=customer_health.is_connected('intercom', 'support_tickets')) }}
{% set has_parts = customer_health.vendor_columns(
    source('customer_health_intercom', 'conversation_part_history')
) %}
{% set conversation_columns = customer_health.vendor_columns(
    source('customer_health_intercom', 'conversation_history')
) %}
{% set tells_replies = has_parts or 'first_contact_reply_created_at' in conversation_columns %}

with

conversations as (
    {{ customer_health.vendor_rows('intercom', 'conversation_history', [
        ['id', 'id', 'required'],
        ['created_at', 'timestamp', 'required'],
        ['updated_at', 'timestamp', 'required'],
        ['state', 'code', 'required', ['state', 'status']],
        ['priority', 'code', 'optional'],
        ['source_author_id', 'id', 'optional', ['source_author_id']],
        ['delivered_as', 'code', 'optional', ['source_delivered_as', 'source.delivered_as']],
        ['customer_replied_at', 'timestamp', 'optional', ['first_contact_reply_created_at']],
        ['first_response_at', 'timestamp', 'optional', ['first_admin_reply_at',
            'statistics_first_admin_reply_at', 'statistics.first_admin_reply_at']],
        ['closed_at', 'timestamp', 'optional', ['last_close_at', 'statistics_last_close_at',
            'statistics.last_close_at']],
        ['reopen_count', 'integer', 'optional', ['count_reopens', 'statistics_count_reopens',
            'statistics.count_reopens']],
        ['csat_score', 'double', 'optional', ['conversation_rating_value', 'rating_value',
            'conversation_rating.rating']],
        ['complexity', 'double', 'optional', []],
        ['ticket_type', 'code', 'optional', []],
        ['is_escalated', 'boolean', 'optional', []],
    ], fills='support_tickets') | indent(4) }}
),

participants as (
    {{ customer_health.vendor_rows('intercom', 'conversation_contact_history', [
        ['conversation_id', 'id', 'required'],
        ['contact_id', 'id', 'required'],
        ['conversation_updated_at', 'timestamp', 'optional'],
    ], may_lack=true) | indent(4) }}
),

contacts as (select * from {{ ref('con_health__intercom__contacts') }}),

conversation_parts as (select * from {{ ref('con_health__intercom__conversation_parts') }}),

-- one row per conversation and version: the newest tells the state
newest_versions as (
    select
        id,
        max(updated_at) as updated_at
    from conversations
    group by 1
),

-- a version of a conversation lists all who take part; of several the lowest id counts
numbered_participants as (
    select
        conversation_id,
        contact_id,
        row_number() over (
            partition by conversation_id
            order by conversation_updated_at desc nulls last, contact_id asc
        ) as position
    from participants
),

final as (
    select  -- noqa: ST06
        conversations.id as ticket_id,
        coalesce(contacts.account_key, 'person:' || contacts.id) as account_id,
        numbered_participants.contact_id,
        conversations.created_at as opened_at,
        coalesce(conversations.first_response_at, conversation_parts.first_response_at)
            as first_response_at,
        case
            when conversations.state = 'closed'
                then coalesce(
                    conversations.closed_at,
                    conversation_parts.last_closed_at,
                    conversations.updated_at
                )
        end as solved_at,
        case conversations.state
            when 'closed' then 'solved'
            when 'snoozed' then 'pending'
            else 'open'
        end as status,
        case conversations.priority when 'priority' then 'high' else 'normal' end as priority,
        conversations.complexity,
        conversations.ticket_type,
        coalesce(
            conversations.reopen_count,
            {% if has_parts %}
            greatest(
                coalesce(conversation_parts.close_count, 0)
                - case when conversations.state = 'closed' then 1 else 0 end,
                0
            )
            {% else %}
            null
            {% endif %}
        ) as reopen_count,
        conversations.is_escalated,
        conversations.csat_score,
        case when conversations.csat_score is not null then 5 end as csat_scale_max,
        conversations.updated_at,
        conversations.loaded_at
    from conversations
    inner join newest_versions
        on
            conversations.id = newest_versions.id
            and conversations.updated_at = newest_versions.updated_at
    left join numbered_participants
        on
            conversations.id = numbered_participants.conversation_id
            and numbered_participants.position = 1
    left join contacts
        on
            coalesce(numbered_participants.contact_id, conversations.source_author_id)
            = contacts.id
    left join conversation_parts
        on conversations.id = conversation_parts.conversation_id
    {%- if tells_replies %}
    -- what we sent and nobody answered is no question of a customer
    where
        coalesce(conversations.delivered_as, 'customer_initiated') = 'customer_initiated'
        or conversations.customer_replied_at is not null
        or coalesce(conversation_parts.is_answered_by_customer, false)
    {%- endif %}
)

select * from final
