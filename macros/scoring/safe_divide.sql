{#- A quotient that is null, never Infinity or NaN, where the denominator is 0 or null.
    Both sides are made 64-bit floats first: integer division differs between engines.

    numerator, denominator: SQL of numbers
    Example: safe_divide('1', '0') -> null;  safe_divide('1', '4') -> 0.25. -#}
{% macro safe_divide(numerator, denominator) -%}
    (
        cast({{ numerator }} as {{ customer_health.type_double() }})
        / nullif(cast({{ denominator }} as {{ customer_health.type_double() }}), 0)
    )
{%- endmacro %}
