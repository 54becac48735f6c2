{#- The publication that is being made, as SQL text; null outside of publishing.

    Example: publication_id() -> '2026-06-30T101500-a1b2c3'. -#}
{% macro publication_id() -%}
    {{ return(customer_health.optional_code_var('publication_id')) }}
{%- endmacro %}
