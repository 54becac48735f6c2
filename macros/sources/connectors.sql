{#- The connectors: which vendor fills which raw tables of the input contract. A deployment chooses
    one vendor per domain (var customer_health__<domain>_connector); docs/connectors.md tells what
    each reads.

    returns: dict of domain to dict of vendor to list of raw tables
    Example: connectors()['support']['zendesk'] -> ['support_tickets']. -#}
{% macro connectors() -%}
    {%- set crm = ['crm_accounts', 'crm_contacts', 'crm_opportunities', 'crm_touchpoints'] -%}
    {%- set billing = ['billing_subscriptions', 'billing_invoices'] -%}
    {%- set product = ['product_users', 'product_events'] -%}
    {%- do return({
        'crm': {'hubspot': crm, 'salesforce': crm},
        'support': {'zendesk': ['support_tickets'], 'intercom': ['support_tickets']},
        'billing': {'stripe': billing, 'chargebee': billing},
        'product': {
            'segment': product,
            'mixpanel': product,
            'pendo': product,
            'amplitude': ['product_events'],
            'posthog': product,
        },
        'surveys': {
            'pendo': ['survey_responses'],
            'delighted': ['survey_responses'],
            'qualtrics': ['survey_responses'],
            'zendesk': ['survey_responses'],
        },
    }) -%}
{%- endmacro %}
