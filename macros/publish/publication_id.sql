{#- The publication that is being made, as SQL text; null outside of publishing.

    Example: publication_id() -> '2026-06-30T101500-a1b2c3'. -#}
{% macro publication_id() -%}
    {%- if var('customer_health__publication_id', none) is none -%}
        {{ return('cast(null as ' ~ dbt.type_string() ~ ')') }}
    {%- endif -%}
    {{ return(customer_health.code_var('publication_id')) }}
{%- endmacro %}
