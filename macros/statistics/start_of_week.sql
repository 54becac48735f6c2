{#- The Sunday, or Monday, on or before a date. 1970-01-04, day number 3, was a Sunday.

    date_expression: SQL of a date from 1970 on;  first_day: sunday or monday
    Example: start_of_week("date '2026-06-30'", 'sunday') -> 2026-06-28. -#}
{% macro start_of_week(date_expression, first_day) -%}
    {%- set days_ahead = {'sunday': 4, 'monday': 3}[first_day] -%}
    {{ customer_health.add_days(
        date_expression,
        '-1 * mod(' ~ customer_health.day_number(date_expression) ~ ' + ' ~ days_ahead ~ ', 7)'
    ) }}
{%- endmacro %}
