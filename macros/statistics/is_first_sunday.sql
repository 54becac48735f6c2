{#- Whether a date is the first Sunday of its month: a date that is looked back on.

    column: SQL of the date
    Example: 2026-06-07 -> true. -#}
{% macro is_first_sunday(column) -%}
    mod({{ customer_health.day_number(column) }}, 7) = 3 and extract(day from {{ column }}) <= 7
{%- endmacro %}
