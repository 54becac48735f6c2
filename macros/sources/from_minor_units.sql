{#- An amount in the smallest unit of its currency (cents), in the currency itself.

    amount: SQL of a number;  minor_units: SQL of the digits after the point, null: 2
    Example: (150000, null) -> 1500.0;  (150000, 0) -> 150000.0. -#}
{% macro from_minor_units(amount, minor_units) -%}
    cast({{ amount }} as {{ customer_health.type_double() }})
    / power(10, coalesce({{ minor_units }}, 2))
{%- endmacro %}
