{#- A date some days later (or earlier, with a negative number), as date.

    date_expression: SQL of type date;  days: SQL of an integer
    Example: add_days("date '2026-01-31'", 1) -> 2026-02-01. -#}
{% macro add_days(date_expression, days) -%}
    {{ return(adapter.dispatch('add_days', 'customer_health')(date_expression, days)) }}
{%- endmacro %}

{% macro default__add_days(date_expression, days) -%}
    cast({{ dbt.dateadd('day', days, date_expression) }} as date)
{%- endmacro %}

{#- dbt's own macro multiplies intervals on DuckDB, which is slow and yields timestamps. -#}
{% macro duckdb__add_days(date_expression, days) -%}
    ({{ date_expression }} + cast({{ days }} as integer))
{%- endmacro %}

{% macro postgres__add_days(date_expression, days) -%}
    ({{ date_expression }} + cast({{ days }} as integer))
{%- endmacro %}
