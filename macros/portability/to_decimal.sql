{#- A number as an exact decimal, rounded to so many places: what sums that must not depend on the
    order of their rows are made of, and what is rounded.

    expression: SQL of a number;  scale: places behind the point, 12 at most
    Example: to_decimal('weight * score') -> cast(weight * score as decimal(28, 12)). -#}
{% macro to_decimal(expression, scale=12) -%}
    {{ return(adapter.dispatch('to_decimal', 'customer_health')(expression, scale)) }}
{%- endmacro %}

{% macro default__to_decimal(expression, scale) -%}
    cast({{ expression }} as decimal(28, {{ scale }}))
{%- endmacro %}

{#- BigQuery's decimals have nine places, its big ones have 38. -#}
{% macro bigquery__to_decimal(expression, scale) -%}
    round(cast({{ expression }} as bignumeric), {{ scale }})
{%- endmacro %}
