{{ config(enabled=customer_health.is_connected('intercom')) }}

with

contacts as (
    {{ customer_health.vendor_rows('intercom', 'contact_history', [
        ['id', 'id', 'required'],
        ['email', 'label', 'optional'],
        ['updated_at', 'timestamp', 'optional'],
    ], keep_deleted=true) | indent(4) }}
),

contact_companies as (
    {{ customer_health.vendor_rows('intercom', 'contact_company_history', [
        ['contact_id', 'id', 'required'],
        ['company_id', 'id', 'required'],
        ['contact_updated_at', 'timestamp', 'optional'],
    ], may_lack=true) | indent(4) }}
),

-- a version of a contact lists all companies that it had then; of several the lowest id counts
numbered_companies as (
    select
        contact_id,
        company_id,
        row_number() over (
            partition by contact_id order by contact_updated_at desc nulls last, company_id asc
        ) as position
    from contact_companies
),

numbered_contacts as (
    select
        id,
        email,
        row_number() over (partition by id order by updated_at desc nulls last, email asc)
            as position
    from contacts
),

final as (
    select
        numbered_contacts.id,
        numbered_contacts.email,
        {{ customer_health.account_key(
            'numbered_companies.company_id', 'numbered_contacts.email'
        ) }} as account_key
    from numbered_contacts
    left join numbered_companies
        on
            numbered_contacts.id = numbered_companies.contact_id
            and numbered_companies.position = 1
    where numbered_contacts.position = 1
)

select * from final
