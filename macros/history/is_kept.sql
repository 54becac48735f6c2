{#- Whether a row of a date is young enough to be kept, or stands on a Sunday that is kept for ever.

    column: SQL of the date;  days_var: var (without prefix) of the days kept
    Example: kept 400 days -> as_of_date > as_of - 400. -#}
{% macro is_kept(column, days_var, keep_sundays=false) -%}
    {{ column }} > {{ customer_health.add_days(
        customer_health.as_of_date(), -1 * customer_health.integer_var(days_var)
    ) }}
    {%- if keep_sundays %}
    or mod({{ customer_health.day_number(column) }}, 7) = 3
    {%- endif -%}
{%- endmacro %}
