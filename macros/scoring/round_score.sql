{#- Ten decimals, as 64-bit float: what stands in tables and is compared. The sums before it are
    exact, so that the last digit does not depend on the engine or the number of threads.

    expression: SQL of a number
    Example: round_score('64.16666666666667') -> 64.1666666667. -#}
{% macro round_score(expression) -%}
    cast(
        round({{ customer_health.to_decimal(expression) }}, 10)
        as {{ customer_health.type_double() }}
    )
{%- endmacro %}
