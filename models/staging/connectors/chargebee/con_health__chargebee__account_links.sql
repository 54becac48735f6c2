{{ config(enabled=customer_health.is_connected('chargebee')) }}

with

customers as (
    {{ customer_health.vendor_rows('chargebee', 'customer', [
        ['id', 'id', 'required'],
        ['email', 'label', 'optional'],
        ['external_id', 'id', 'optional', customer_health.link_columns('chargebee', [
            'cf_account_id', 'meta_data.account_id', 'meta_data.external_id',
        ])],
    ], keep_deleted=true) | indent(4) }}
),

-- the id of a customer is ours to choose, and often is that of the CRM
final as (
    {{ customer_health.account_links([
        ['customers', 'id', 'external_id', 'external_id'],
        ['customers', 'id', 'external_id', 'id'],
        ['customers', 'id', 'domain', customer_health.email_domain('email')],
    ]) | indent(4) }}
)

select * from final
