{#- ISO 8601 text as a date; null where it is none. A time and an offset behind the date are left
    out: the day that is written is the day that is meant.

    expression: SQL of text, trimmed
    Example: parse_date("'2026-06-01T00:00:00+05:30'") -> 2026-06-01. -#}
{% macro parse_date(expression) -%}
    case
        when {{ customer_health.matches(expression, customer_health.timestamp_patterns()['any']) }}
            then {{ dbt.safe_cast('substring(' ~ expression ~ ', 1, 10)', 'date') }}
    end
{%- endmacro %}
