{#- Hook after an incremental history model: takes out rows that have grown too old to be kept.

    days_var: var (without prefix) that says how many days are kept
    keep_sundays: whether the rows of Sundays stay for ever
    Example: drop_old_rows('component_history_days', keep_sundays=true). -#}
{% macro drop_old_rows(days_var, keep_sundays=false) -%}
    delete from {{ this }}
    where not ({{ customer_health.is_kept('as_of_date', days_var, keep_sundays) }})
{%- endmacro %}
