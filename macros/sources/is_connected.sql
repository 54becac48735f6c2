{#- Whether a model of a connector is part of this deployment: its vendor is chosen for the domain,
    and the raw table that it fills is not switched off. Decides `enabled` of those models.

    vendor: as in connectors();  table: raw table that the model fills; none: the model serves all
    of the vendor's tables
    Example: is_connected('zendesk', 'support_tickets') -> true. -#}
{% macro is_connected(vendor, table=none) -%}
    {%- if table is not none -%}
        {{ return(
            customer_health.connector_of(table) == vendor and customer_health.using_table(table)
        ) }}
    {%- endif -%}
    {%- for domain, vendors in customer_health.connectors().items() -%}
        {%- if vendor in vendors and customer_health.connected_vendor(domain) == vendor -%}
            {{ return(true) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(false) }}
{%- endmacro %}
