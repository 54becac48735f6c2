{#- Text as a whole number; null where it is none. `12.0` is 12; `12.5` is not rounded but null.

    expression: SQL of text, trimmed
    Example: parse_bigint("'12'") -> 12. -#}
{% macro parse_bigint(expression) -%}
    case
        when {{ customer_health.matches(expression, '^[+-]?[0-9]{1,15}([.]0*)?$') }}
            then cast(
                {{ dbt.safe_cast(expression, customer_health.type_double() | trim) }}
                as {{ dbt.type_bigint() }}
            )
    end
{%- endmacro %}
