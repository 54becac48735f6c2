{{ config(enabled=customer_health.is_connected('pendo', 'survey_responses')) }}

with

polls as (
    {{ customer_health.vendor_rows('pendo', 'poll', [
        ['id', 'id', 'required'],
        ['kind', 'code', 'required', ['attribute_type']],
    ], keep_deleted=true) | indent(4) }}
),

answers as (
    {{ customer_health.vendor_rows('pendo', 'poll_event', [
        ['account_id', 'id', 'optional'],
        ['visitor_id', 'id', 'required'],
        ['poll_id', 'id', 'required'],
        ['event_id', 'id', 'optional'],
        ['score', 'double', 'required', ['poll_response']],
        ['responded_at', 'timestamp', 'required', ['timestamp']],
    ], fills='survey_responses') | indent(4) }}
),

visitors as (select * from {{ ref('con_health__pendo__visitors') }}),

nps_polls as (
    select distinct id
    from polls
    where kind like 'nps%'
),

-- the comment to an answer is a poll of its own, whose answer is no number
final as (
    select
        answers.poll_id
        || '|' || answers.visitor_id
        || '|' || coalesce(
            answers.event_id, cast(answers.responded_at as {{ dbt.type_string() }})
        ) as response_id,
        coalesce(answers.account_id, visitors.account_id) as account_id,
        'nps' as survey_type,
        answers.score,
        0 as scale_min,
        10 as scale_max,
        answers.responded_at,
        answers.loaded_at
    from answers
    inner join nps_polls
        on answers.poll_id = nps_polls.id
    left join visitors
        on answers.visitor_id = visitors.user_id
    where answers.score is not null
)

select * from final
