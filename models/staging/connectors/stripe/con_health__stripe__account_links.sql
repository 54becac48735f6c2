{{ config(enabled=customer_health.is_connected('stripe')) }}

with

customers as (
    {{ customer_health.vendor_rows('stripe', 'customer', [
        ['id', 'id', 'required'],
        ['email', 'label', 'optional'],
        ['external_id', 'id', 'optional', customer_health.link_columns('stripe', [
            'metadata.account_id', 'metadata.external_id', 'metadata.crm_account_id',
            'metadata.salesforce_account_id', 'metadata.hubspot_company_id',
        ])],
    ], keep_deleted=true) | indent(4) }}
),

final as (
    {{ customer_health.account_links([
        ['customers', 'id', 'external_id', 'external_id'],
        ['customers', 'id', 'domain', customer_health.email_domain('email')],
    ]) | indent(4) }}
)

select * from final
