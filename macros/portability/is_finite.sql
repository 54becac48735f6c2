{#- Whether a number is neither null, NaN nor infinite. All engines order NaN and Infinity above the
    greatest number or answer no, so one comparison does for all.

    expression: SQL of a 64-bit float
    Example: is_finite('amount'), amount Infinity -> false. -#}
{% macro is_finite(expression) -%}
    (abs({{ expression }}) <= cast('1.7976931348623157e308' as {{ customer_health.type_double() }}))
{%- endmacro %}
