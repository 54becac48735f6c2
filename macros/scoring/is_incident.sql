{#- Whether so many of the accounts of a segment dropped on one metric on one day that the cause is
    the data and not the customers (docs/scoring-model.md, section 8).

    dropped_count, account_count: SQL of the two counts
    Example: 7 of 10 accounts with 60 percent allowed -> true. -#}
{% macro is_incident(dropped_count, account_count) -%}
    {{ account_count }} >= {{ customer_health.integer_var('incident_least_accounts', minimum=1) }}
    and 100 * {{ dropped_count }}
    > {{ customer_health.integer_var('incident_dropped_percent') }} * {{ account_count }}
{%- endmacro %}
