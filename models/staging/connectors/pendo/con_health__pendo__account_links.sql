{{ config(enabled=customer_health.is_connected('pendo')) }}

with

accounts as (
    {{ customer_health.vendor_rows('pendo', 'account_history', [
        ['id', 'id', 'required'],
        ['external_id', 'id', 'optional', customer_health.link_columns('pendo', [
            'agent_salesforceaccountid', 'salesforce_id', 'salesforce_account_id',
            'hubspot_company_id',
        ])],
        ['website', 'label', 'optional', ['agent_website', 'agent_domain']],
    ], may_lack=true) | indent(4) }}
),

visitors as (select * from {{ ref('con_health__pendo__visitors') }}),

-- the id of an account is ours to choose, and often is that of the CRM
final as (
    {{ customer_health.account_links([
        ['accounts', 'id', 'external_id', 'external_id'],
        ['accounts', 'id', 'external_id', 'id'],
        ['accounts', 'id', 'domain', 'website'],
        ['visitors', 'account_id', 'external_id', 'account_id'],
        ['visitors', 'account_id', 'domain', 'domain'],
    ]) | indent(4) }}
)

select * from final
