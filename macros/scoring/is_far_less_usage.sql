{#- Whether a day's usage is so far below the usual that it counts as dropped
    (var customer_health__incident_day_percent).

    day_amount, usual_amount: SQL of two numbers in the same unit
    Example: 4 events where 10 are usual, with 50 percent -> true. -#}
{% macro is_far_less_usage(day_amount, usual_amount) -%}
    100 * {{ day_amount }}
    < {{ customer_health.integer_var('incident_day_percent') }} * {{ usual_amount }}
{%- endmacro %}
