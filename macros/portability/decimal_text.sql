{#- A number as text with so many places behind the point, zeros included. It is rounded to ten
    places first: engines turn 1.2499999999999996 into decimals in two ways, 1.2 and 1.3.

    expression: SQL of a number below 1e18;  scale: places behind the point
    Example: decimal_text('0.5', 2) -> 0.50. -#}
{% macro decimal_text(expression, scale) -%}
    {{ return(adapter.dispatch('decimal_text', 'customer_health')(expression, scale)) }}
{%- endmacro %}

{% macro default__decimal_text(expression, scale) -%}
    cast(
        {{ customer_health.to_decimal(customer_health.to_decimal(expression, 10), scale) }}
        as {{ dbt.type_string() }}
    )
{%- endmacro %}

{#- BigQuery writes decimals without zeros at their end. -#}
{% macro bigquery__decimal_text(expression, scale) -%}
    format(
        '%.{{ scale }}f',
        {{ customer_health.to_decimal(customer_health.to_decimal(expression, 10), scale) }}
    )
{%- endmacro %}
