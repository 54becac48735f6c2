{#- A number of days as people read it.

    expression: SQL of a whole number
    Example: 1 -> 1 day;  4 -> 4 days. -#}
{% macro days_text(expression) -%}
    {{ customer_health.number_text(expression) }}
    || case when {{ expression }} = 1 then ' day' else ' days' end
{%- endmacro %}
