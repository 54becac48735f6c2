{#- Days since 1970-01-01 of a date, as bigint: what RANGE frames and day arithmetic run on.

    date_expression: SQL of type date
    Example: day_number("date '1970-01-02'") -> 1. -#}
{% macro day_number(date_expression) -%}
    cast({{ dbt.datediff("date '1970-01-01'", date_expression, 'day') }} as bigint)
{%- endmacro %}
