{#- Text as a 64-bit float; null where it is no plain number (`1,234.50`, `$5`, `(5)`) or lies
    beyond what a float holds (`1e400`, `NaN`). looks_like_number tells the two apart.

    expression: SQL of text, trimmed
    Example: parse_double("'12.50'") -> 12.5. -#}
{% macro parse_double(expression) -%}
    {%- set digits = '([0-9]{1,200}([.][0-9]{0,200})?|[.][0-9]{1,200})' -%}
    {%- set number = '^[+-]?' ~ digits ~ '([eE][+-]?[0-9]{1,2})?$' -%}
    case
        when {{ customer_health.matches(expression, number) }}
            then {{ dbt.safe_cast(expression, customer_health.type_double() | trim) }}
    end
{%- endmacro %}
