{#- Whole days from one date to another, as bigint.

    from_date, to_date: SQL of type date
    Example: days_between("date '2026-01-01'", "date '2026-01-31'") -> 30. -#}
{% macro days_between(from_date, to_date) -%}
    cast({{ dbt.datediff(from_date, to_date, 'day') }} as bigint)
{%- endmacro %}
