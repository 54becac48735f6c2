{#- The vendor that a deployment has chosen for a domain, checked.

    domain: crm, support, billing, product or surveys
    returns: the vendor, or none where the domain has raw tables of the input contract
    Example: customer_health__crm_connector: hubspot -> connected_vendor('crm') is hubspot. -#}
{% macro connected_vendor(domain) -%}
    {%- set vendor = var('customer_health__' ~ domain ~ '_connector', none) -%}
    {%- if vendor is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set vendors = customer_health.connectors()[domain].keys() | list -%}
    {%- if vendor not in vendors -%}
        {{ exceptions.raise_compiler_error(
            'customer_health__' ~ domain ~ "_connector: '" ~ (vendor | string)[:40]
            ~ "' is no connector of this domain; there is " ~ vendors | join(', ')
        ) }}
    {%- endif -%}
    {{ return(vendor) }}
{%- endmacro %}
