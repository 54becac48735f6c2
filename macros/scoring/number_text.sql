{#- A number as people read it: whole numbers bare, others with two decimals, null as `unknown`.
    Whole is what is so to ten decimals: the last bit of a mean depends on the order of its rows.

    expression: SQL of a number
    Example: 41.0 -> 41;  0.256 -> 0.26. -#}
{% macro number_text(expression) -%}
    case
        when {{ expression }} is null then 'unknown'
        when abs({{ expression }}) >= 1000000000000000
            then cast({{ customer_health.to_decimal(expression, 2) }} as {{ dbt.type_string() }})
        when abs({{ expression }} - round({{ expression }})) < 0.00000000005
            then cast(cast(round({{ expression }}) as bigint) as {{ dbt.type_string() }})
        else {{ customer_health.decimal_text(expression, 2) }}
    end
{%- endmacro %}
