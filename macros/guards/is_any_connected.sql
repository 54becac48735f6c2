{#- Whether one of these raw tables is declared in this deployment (var customer_health__using_…).
    crm_accounts always is.

    tables: list of raw table names
    Example: is_any_connected(['product_events', 'product_usage_daily']) -> true. -#}
{% macro is_any_connected(tables) -%}
    {%- set state = namespace(is_connected=false) -%}
    {%- for table in tables -%}
        {%- if table == 'crm_accounts' or var('customer_health__using_' ~ table, false) -%}
            {%- set state.is_connected = true -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(state.is_connected) }}
{%- endmacro %}
