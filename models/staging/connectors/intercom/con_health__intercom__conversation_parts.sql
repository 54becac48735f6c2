{{ config(enabled=customer_health.is_connected('intercom', 'support_tickets')) }}

with

part_versions as (
    {{ customer_health.vendor_rows('intercom', 'conversation_part_history', [
        ['id', 'id', 'required'],
        ['conversation_id', 'id', 'required'],
        ['part_type', 'code', 'required'],
        ['author_type', 'code', 'optional', ['author_type', 'author.type']],
        ['created_at', 'timestamp', 'required'],
        ['body', 'text', 'optional'],
    ], may_lack=true) | indent(4) }}
),

-- a part is landed anew with every version of its conversation
parts as (
    select
        id,
        conversation_id,
        part_type,
        author_type,
        min(created_at) as created_at,
        max(case when body is not null then 1 else 0 end) as body_count
    from part_versions
    group by 1, 2, 3, 4
),

ordered_parts as (
    select
        conversation_id,
        part_type,
        author_type,
        created_at,
        body_count,
        lag(part_type) over (partition by conversation_id order by created_at, id)
            as part_type_before
    from parts
),

-- notes are for colleagues; one may also write while closing, assigning or snoozing
final as (
    select
        conversation_id,
        min(
            case
                when
                    author_type = 'admin'
                    and part_type <> 'note'
                    and (part_type = 'comment' or body_count = 1)
                    then created_at
            end
        ) as first_response_at,
        max(case when part_type = 'close' then created_at end) as last_closed_at,
        sum(
            case
                when part_type = 'close' and coalesce(part_type_before, 'open') <> 'close' then 1
                else 0
            end
        ) as close_count,
        max(case when author_type in ('user', 'lead', 'contact') then 1 else 0 end) = 1
            as is_answered_by_customer
    from ordered_parts
    group by 1
)

select * from final
