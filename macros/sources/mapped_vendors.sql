{#- The connected vendors whose accounts are not those of the CRM, so that
    int_health__account_identity has to find each one's account.

    Example: HubSpot, Zendesk and Stripe are connected -> ['stripe', 'zendesk']. -#}
{% macro mapped_vendors() -%}
    {%- set found = [] -%}
    {%- for domain in customer_health.connectors() if domain != 'crm' -%}
        {%- set vendor = customer_health.connected_vendor(domain) -%}
        {%- if vendor is not none and vendor not in found -%}
            {%- do found.append(vendor) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found | sort) }}
{%- endmacro %}
