{#- The vendor whose connector fills a raw table of the input contract in this deployment.

    table: name in the input contract
    returns: the vendor, or none where the raw table itself is read
    Example: connector_of('support_tickets') -> zendesk. -#}
{% macro connector_of(table) -%}
    {%- for domain, vendors in customer_health.connectors().items() -%}
        {%- set vendor = customer_health.connected_vendor(domain) -%}
        {%- if vendor is not none and table in vendors[vendor] -%}
            {{ return(vendor) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}
