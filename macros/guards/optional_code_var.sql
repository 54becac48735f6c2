{#- A short code of the configuration that may be null, as SQL text.

    name: the var without the prefix, text
    Example: optional_code_var('run_id') -> '20260630T051500Z-a1b2c3', or a null of type text. -#}
{% macro optional_code_var(name) -%}
    {%- if var('customer_health__' ~ name, none) is none -%}
        {{ return('cast(null as ' ~ dbt.type_string() ~ ')') }}
    {%- endif -%}
    {{ return(customer_health.code_var(name)) }}
{%- endmacro %}
