{#- What a staging model reads: the raw table of the input contract, or the connector that fills it.

    table: name in the input contract
    returns: relation
    Example: raw_table('support_tickets') -> con_health__zendesk__support_tickets. -#}
{% macro raw_table(table) -%}
    {%- set vendor = customer_health.connector_of(table) -%}
    {%- if vendor is none -%}
        {{ return(source('customer_health_raw', table)) }}
    {%- endif -%}
    {{ return(ref('con_health__' ~ vendor ~ '__' ~ table)) }}
{%- endmacro %}
