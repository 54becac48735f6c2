{#- Whether the deployment declares that it has a raw table. crm_accounts is always there.

    table: name in the input contract
    Example: using_table('product_usage_daily') -> false. -#}
{% macro using_table(table) -%}
    {%- if table == 'crm_accounts' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set declared = var('customer_health__using_' ~ table) | string | trim | lower -%}
    {{ return(declared in ['true', '1', 'yes']) }}
{%- endmacro %}
