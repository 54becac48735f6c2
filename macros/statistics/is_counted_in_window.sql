{#- Whether the outcome of an observation counts in a window: it is known, the account was there when
    the window began and had not handed in its notice, and its churn, if any, was its own will.

    Reads the columns follow_up_days, is_in_notice, is_involuntary, days_to_churn, lead_days and
    window_end_days of the relation that is selected from. Decision 41.

    Example: {{ customer_health.is_counted_in_window() }} -> SQL of a boolean. -#}
{% macro is_counted_in_window() -%}
follow_up_days >= window_end_days
and not is_in_notice
and coalesce(days_to_churn >= lead_days, true)
and not (is_involuntary and days_to_churn < window_end_days)
{%- endmacro %}
