{#- The Sunday on or before a date. 1970-01-04, day number 3, was a Sunday.

    date_expression: SQL of a date from 1970 on
    Example: sunday_of_week("date '2026-06-30'") -> 2026-06-28. -#}
{% macro sunday_of_week(date_expression) -%}
    {{ customer_health.add_days(
        date_expression,
        '-1 * mod(' ~ customer_health.day_number(date_expression) ~ ' + 4, 7)'
    ) }}
{%- endmacro %}
