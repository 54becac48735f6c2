{#- Whether the deployment declares that it has a raw table. crm_accounts is always there.

    table: name in the input contract
    Example: using_table('product_usage_daily') -> false. -#}
{% macro using_table(table) -%}
    {%- if table == 'crm_accounts' -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(var('customer_health__using_' ~ table) | string | trim | lower in ['true', '1', 'yes']) }}
{%- endmacro %}
