{{ config(enabled=customer_health.is_connected('salesforce', 'crm_contacts')) }}

with

accounts as (select * from {{ ref('con_health__salesforce__crm_accounts') }}),

contacts as (
    {{ customer_health.vendor_rows('salesforce', 'contact', [
        ['contact_id', 'id', 'required', ['id']],
        ['account_id', 'id', 'required', ['account_id', 'accountid']],
        ['user_id', 'id', 'optional', ['user_id_c', 'user_id__c']],
        ['role', 'code', 'optional', ['role_c', 'role__c']],
        ['left_at', 'timestamp', 'optional', ['left_company_at_c', 'left_company_at__c']],
        ['created_at', 'timestamp', 'required', ['created_date', 'createddate']],
        ['modified_at', 'timestamp', 'optional', ['system_modstamp', 'systemmodstamp',
            'last_modified_date', 'lastmodifieddate']],
        ['master_record_id', 'id', 'optional', ['master_record_id', 'masterrecordid']],
    ], fills='crm_contacts', keep_deleted=true) | indent(4) }}
),

-- people of prospects, and of no account, are no customer's
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
    -- else the entry of somebody who is still there under another one
    where contacts.master_record_id is null
)

select * from final
