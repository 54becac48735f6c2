{{ config(enabled=customer_health.is_connected('hubspot')) }}

with

companies as (
    {{ customer_health.vendor_rows('hubspot', 'company', [
        ['id', 'id', 'required'],
        ['external_id', 'id', 'optional', customer_health.link_columns('hubspot', [])],
        ['website', 'label', 'optional', ['property_website', 'properties.website']],
        ['domains', 'label', 'optional', ['property_hs_additional_domains',
            'properties.hs_additional_domains']],
    ]) | indent(4) }}
),

former_companies as (select * from {{ ref('con_health__hubspot__former_companies') }}),

further_domains as (
    {{ customer_health.listed_ids('companies', 'id', 'domains', most=10) | indent(4) }}
),

final as (
    {{ customer_health.account_links([
        ['companies', 'id', 'external_id', 'external_id'],
        ['former_companies', 'company_id', 'external_id', 'former_id'],
        ['companies', 'id', 'domain', 'website'],
        ['further_domains', 'id', 'domain', 'listed_id'],
    ], only_values=true) | indent(4) }}
)

select * from final
