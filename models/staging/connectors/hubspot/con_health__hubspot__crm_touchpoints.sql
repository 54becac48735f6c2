{{ config(enabled=customer_health.is_connected('hubspot', 'crm_touchpoints')) }}

with

accounts as (select * from {{ ref('con_health__hubspot__crm_accounts') }}),

calls as (
    {{ customer_health.vendor_rows('hubspot', 'engagement_call', [
        ['engagement_id', 'id', 'required', ['engagement_id', 'id']],
        ['occurred_at', 'timestamp', 'required', ['property_hs_timestamp',
            'properties.hs_timestamp', 'timestamp']],
        ['direction', 'code', 'optional', ['property_hs_call_direction',
            'properties.hs_call_direction']],
        ['status', 'code', 'optional', ['property_hs_call_status', 'properties.hs_call_status',
            'status']],
        ['disposition', 'code', 'optional', ['property_hs_call_disposition',
            'properties.hs_call_disposition', 'disposition']],
    ], may_lack=true) | indent(4) }}
),

meetings as (
    {{ customer_health.vendor_rows('hubspot', 'engagement_meeting', [
        ['engagement_id', 'id', 'required', ['engagement_id', 'id']],
        ['occurred_at', 'timestamp', 'required', ['property_hs_meeting_start_time',
            'properties.hs_meeting_start_time', 'start_time', 'property_hs_timestamp']],
        ['outcome', 'code', 'optional', ['property_hs_meeting_outcome',
            'properties.hs_meeting_outcome', 'meeting_outcome']],
    ], may_lack=true) | indent(4) }}
),

emails as (
    {{ customer_health.vendor_rows('hubspot', 'engagement_email', [
        ['engagement_id', 'id', 'required', ['engagement_id', 'id']],
        ['occurred_at', 'timestamp', 'required', ['property_hs_timestamp',
            'properties.hs_timestamp', 'timestamp']],
        ['direction', 'code', 'optional', ['property_hs_email_direction',
            'properties.hs_email_direction']],
        ['status', 'code', 'optional', ['property_hs_email_status',
            'properties.hs_email_status', 'status']],
    ], may_lack=true) | indent(4) }}
),

engagement_companies as (
    {{ customer_health.vendor_rows('hubspot', 'engagement_company', [
        ['engagement_id', 'id', 'required'],
        ['company_id', 'id', 'required'],
    ], fills='crm_touchpoints') | indent(4) }}
),

engagement_contacts as (
    {{ customer_health.vendor_rows('hubspot', 'engagement_contact', [
        ['engagement_id', 'id', 'required'],
        ['contact_id', 'id', 'required'],
    ], may_lack=true) | indent(4) }}
),

contacts as (
    {{ customer_health.vendor_rows('hubspot', 'contact', [
        ['id', 'id', 'required', ['id', 'vid']],
        ['company_id', 'id', 'optional',
            ['property_associatedcompanyid', 'properties.associatedcompanyid']],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

engagements as (
    select
        engagement_id,
        'call' as channel,
        case
            when
                status = 'completed'
                -- busy, no answer, voicemail, wrong number, message left with somebody else:
                -- HubSpot's own ids, the same in every portal
                and coalesce(disposition, '') not in (
                    '9d9162e7-6cf3-4944-bf63-4dff82258764',
                    '73a0d17f-1163-4015-bdd5-ec830791da20',
                    'b2cf5968-551e-4856-9783-52b3da59a7d0',
                    '17b47fee-58de-441e-a44c-c6300d46f273',
                    'a4c4c377-d246-4b32-a13b-75a56a4cd0ff'
                )
                then 'two_way'
            when direction = 'inbound' then 'inbound'
            else 'outbound'
        end as direction,
        occurred_at,
        loaded_at
    from calls
    where coalesce(status, 'completed') not in ('canceled', 'cancelled', 'failed', 'queued')

    union all

    select
        engagement_id,
        'meeting' as channel,
        'two_way' as direction,
        occurred_at,
        loaded_at
    from meetings
    where coalesce(outcome, 'completed') not in ('no_show', 'canceled', 'cancelled', 'rescheduled')

    union all

    select
        engagement_id,
        'email' as channel,
        case when direction = 'incoming_email' then 'inbound' else 'outbound' end as direction,
        occurred_at,
        loaded_at
    from emails
    where coalesce(status, 'sent') not in ('bounced', 'failed', 'scheduled')
),

companies_named as (
    select distinct
        engagement_id,
        company_id
    from engagement_companies
),

contacts_named as (
    select
        engagement_contacts.engagement_id,
        contacts.company_id,
        min(engagement_contacts.contact_id) as contact_id
    from engagement_contacts
    inner join contacts
        on engagement_contacts.contact_id = contacts.id
    where contacts.company_id is not null
    group by 1, 2
),

-- an engagement that names no company is with those of its people
engagement_accounts as (
    select
        companies_named.engagement_id,
        companies_named.company_id,
        contacts_named.contact_id
    from companies_named
    left join contacts_named
        on
            companies_named.engagement_id = contacts_named.engagement_id
            and companies_named.company_id = contacts_named.company_id

    union all

    select
        contacts_named.engagement_id,
        contacts_named.company_id,
        contacts_named.contact_id
    from contacts_named
    left join companies_named
        on contacts_named.engagement_id = companies_named.engagement_id
    where companies_named.engagement_id is null
),

-- what is planned for later is no touch yet, and selling is not looking after a customer
final as (
    select  -- noqa: ST06
        engagements.engagement_id || '-' || engagement_accounts.company_id as touchpoint_id,
        engagement_accounts.company_id as account_id,
        engagement_accounts.contact_id,
        engagements.channel,
        engagements.direction,
        engagements.occurred_at,
        engagements.loaded_at
    from engagements
    inner join engagement_accounts
        on engagements.engagement_id = engagement_accounts.engagement_id
    inner join accounts
        on engagement_accounts.company_id = accounts.account_id
    where
        engagements.occurred_at < {{ customer_health.end_of_as_of_date() }}
        and {{ customer_health.is_after_start('engagements.occurred_at', 'accounts') }}
)

select * from final
