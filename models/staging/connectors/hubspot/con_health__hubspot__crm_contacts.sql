{{ config(enabled=customer_health.is_connected('hubspot', 'crm_contacts')) }}

with

accounts as (select * from {{ ref('con_health__hubspot__crm_accounts') }}),

contacts as (
    {{ customer_health.vendor_rows('hubspot', 'contact', [
        ['contact_id', 'id', 'required', ['id', 'vid']],
        ['account_id', 'id', 'optional',
            ['property_associatedcompanyid', 'properties.associatedcompanyid']],
        ['user_id', 'id', 'optional', ['property_user_id', 'properties.user_id']],
        ['role', 'code', 'optional', ['property_hs_buying_role', 'properties.hs_buying_role']],
        ['left_at', 'timestamp', 'optional', ['property_left_company_at']],
        ['created_at', 'timestamp', 'required',
            ['property_createdate', 'properties.createdate', 'created_at', 'createdat']],
        ['modified_at', 'timestamp', 'optional', ['property_lastmodifieddate',
            'properties.lastmodifieddate', 'updated_at']],
        ['merged_ids', 'label', 'optional', ['property_hs_merged_object_ids',
            'properties.hs_merged_object_ids', 'property_hs_calculated_merged_vids']],
    ], fills='crm_contacts', keep_deleted=true) | indent(4) }}
),

merged_ids as (
    {{ customer_health.listed_ids('contacts', 'contact_id', 'merged_ids', most=10) | indent(4) }}
),

-- the entry of somebody who is still there under another one
former_contacts as (
    select distinct listed_id as contact_id
    from merged_ids
    where listed_id <> contact_id
),

-- people of prospects, and of no company, are no customer's
final as (
    select
        contacts.contact_id,
        contacts.account_id,
        contacts.user_id,
        {{ customer_health.contact_role('contacts.role') }} as role,
        not contacts.is_deleted as is_active,
        contacts.left_at,
        contacts.created_at,
        coalesce(contacts.modified_at, contacts.loaded_at) as updated_at,
        contacts.loaded_at
    from contacts
    inner join accounts
        on contacts.account_id = accounts.account_id
    left join former_contacts
        on contacts.contact_id = former_contacts.contact_id
    where former_contacts.contact_id is null
)

select * from final
