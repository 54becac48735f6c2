{{ config(enabled=customer_health.is_connected('salesforce')) }}

with

accounts as (
    {{ customer_health.vendor_rows('salesforce', 'account', [
        ['id', 'id', 'required'],
        ['external_id', 'id', 'optional', customer_health.link_columns(
            'salesforce', ['account_number', 'accountnumber']
        )],
        ['master_record_id', 'id', 'optional', ['master_record_id', 'masterrecordid']],
    ], keep_deleted=true) | indent(4) }}
),

-- other systems write the id with 15 letters where the exports of Salesforce have 18
account_ids as (
    select
        id,
        master_record_id,
        case when length(id) = 18 then substring(id, 1, 15) end as short_id,
        case when not is_deleted then external_id end as external_id
    from accounts
),

-- a duplicate that was merged away may never have been a customer of its own
final as (
    {{ customer_health.account_links([
        ['account_ids', 'id', 'external_id', 'external_id'],
        ['account_ids', 'id', 'external_id', 'short_id'],
        ['account_ids', 'master_record_id', 'external_id', 'id'],
    ], only_values=true) | indent(4) }}
)

select * from final
