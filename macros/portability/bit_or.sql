{#- Bits that are set in any row, as bigint: an aggregate.

    expression: SQL of a bigint that is not negative
    Example: bit_or('flags') over 1 and 2 -> 3. -#}
{% macro bit_or(expression) -%}
    {{ return(adapter.dispatch('bit_or', 'customer_health')(expression)) }}
{%- endmacro %}

{% macro default__bit_or(expression) -%}
    bit_or(cast({{ expression }} as bigint))
{%- endmacro %}

{% macro snowflake__bit_or(expression) -%}
    bitor_agg({{ expression }})
{%- endmacro %}

{% macro bigquery__bit_or(expression) -%}
    bit_or({{ expression }})
{%- endmacro %}
