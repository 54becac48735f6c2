{#- The first instant after the date that is scored last. A connector leaves out what is planned for
    later, such as a meeting of next week, which is no fault of the data.

    Example: as_of_date 2026-06-30 -> 2026-07-01 00:00:00. -#}
{% macro end_of_as_of_date() -%}
    cast({{ customer_health.add_days(customer_health.as_of_date(), 1) }} as {{ dbt.type_timestamp() }})
{%- endmacro %}
