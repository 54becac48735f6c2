{{ config(enabled=customer_health.is_connected('salesforce', 'crm_touchpoints')) }}

with

accounts as (select * from {{ ref('con_health__salesforce__crm_accounts') }}),

contacts as (
    {{ customer_health.vendor_rows('salesforce', 'contact', [
        ['id', 'id', 'required'],
        ['account_id', 'id', 'required', ['account_id', 'accountid']],
    ], keep_deleted=true) | indent(4) }}
),

tasks as (
    {{ customer_health.vendor_rows('salesforce', 'task', [
        ['id', 'id', 'required'],
        ['account_id', 'id', 'optional', ['account_id', 'accountid']],
        ['who_id', 'id', 'optional', ['who_id', 'whoid']],
        ['subtype', 'code', 'optional', ['task_subtype', 'tasksubtype']],
        ['type', 'code', 'optional'],
        ['call_type', 'code', 'optional', ['call_type', 'calltype']],
        ['call_result', 'code', 'optional', ['call_disposition', 'calldisposition']],
        ['is_closed', 'boolean', 'optional', ['is_closed', 'isclosed']],
        ['completed_at', 'timestamp', 'optional', ['completed_date_time', 'completeddatetime']],
        ['activity_date', 'timestamp', 'optional', ['activity_date', 'activitydate']],
        ['created_at', 'timestamp', 'required', ['created_date', 'createddate']],
    ], fills='crm_touchpoints') | indent(4) }}
),

events as (
    {{ customer_health.vendor_rows('salesforce', 'event', [
        ['id', 'id', 'required'],
        ['account_id', 'id', 'optional', ['account_id', 'accountid']],
        ['who_id', 'id', 'optional', ['who_id', 'whoid']],
        ['occurred_at', 'timestamp', 'required', ['start_date_time', 'startdatetime',
            'activity_date_time', 'activitydatetime']],
        ['is_copy', 'boolean', 'optional', ['is_child', 'ischild']],
        ['is_series', 'boolean', 'optional', ['is_recurrence', 'isrecurrence']],
    ], may_lack=true) | indent(4) }}
),

email_messages as (
    {{ customer_health.vendor_rows('salesforce', 'email_message', [
        ['activity_id', 'id', 'optional', ['activity_id', 'activityid']],
        ['is_incoming', 'boolean', 'optional', ['incoming']],
    ], may_lack=true) | indent(4) }}
),

incoming_emails as (
    select distinct activity_id
    from email_messages
    where is_incoming
),

-- tools that log for people write a task whose type says what it was
task_kinds as (
    select  -- noqa: ST06
        id,
        account_id,
        who_id,
        case when coalesce(subtype, 'task') = 'task' then type else subtype end as kind,
        call_type,
        call_result,
        coalesce(completed_at, activity_date, created_at) as occurred_at,
        loaded_at
    from tasks
    where coalesce(is_closed, true)
),

activities as (
    select
        task_kinds.id,
        task_kinds.account_id,
        task_kinds.who_id,
        case when task_kinds.kind like '%call%' then 'call' else 'email' end as channel,
        case
            when
                task_kinds.call_type = 'inbound'
                or task_kinds.kind like '%inbound%'
                or incoming_emails.activity_id is not null
                then 'inbound'
            when
                task_kinds.kind like '%call%'
                and not {{ customer_health.is_nobody_reached(
                    'task_kinds.call_result'
                ) | indent(16) }}
                then 'two_way'
            else 'outbound'
        end as direction,
        task_kinds.occurred_at,
        task_kinds.loaded_at
    from task_kinds
    left join incoming_emails
        on task_kinds.id = incoming_emails.activity_id
    -- a mail to a list is no talk with one customer
    where
        (task_kinds.kind like '%call%' or task_kinds.kind like '%email%')
        and task_kinds.kind <> 'listemail'

    union all

    select
        id,
        account_id,
        who_id,
        'meeting' as channel,
        'two_way' as direction,
        occurred_at,
        loaded_at
    from events
    -- a colleague's copy and the head of a series are no meetings of their own
    where
        not coalesce(is_copy, false)
        and not coalesce(is_series, false)
),

-- what is planned for later is no touch yet, and selling is not looking after a customer
final as (
    select
        activities.id as touchpoint_id,
        accounts.account_id,
        contacts.id as contact_id,
        activities.channel,
        activities.direction,
        activities.occurred_at,
        activities.loaded_at
    from activities
    left join contacts
        on activities.who_id = contacts.id
    inner join accounts
        on coalesce(activities.account_id, contacts.account_id) = accounts.account_id
    where
        activities.occurred_at < {{ customer_health.end_of_as_of_date() }}
        and {{ customer_health.is_after_start('activities.occurred_at', 'accounts') }}
)

select * from final
