{#- Where a vendor's table carries the id that the CRM gave the account: what the deployment says (var
    customer_health__connector_columns, under account_links), else some usual names.

    vendor: as in connectors();  names: list of names, best first
    returns: list of names, as in vendor_rows
    Example: customer_health__connector_columns: {account_links: {stripe: metadata.crm_id}}
        -> link_columns('stripe', ['metadata.account_id']) is ['metadata.crm_id']. -#}
{% macro link_columns(vendor, names) -%}
    {%- set mapped = var('customer_health__connector_columns', {}) or {} -%}
    {%- set own_name = (mapped.get('account_links', {}) or {}).get(vendor) -%}
    {{ return([own_name] if own_name else names) }}
{%- endmacro %}
