{#- A number as people read it: whole numbers bare, others with two decimals, null as `unknown`.

    expression: SQL of a number
    Example: 41.0 -> 41;  0.256 -> 0.26. -#}
{% macro number_text(expression) -%}
    case
        when {{ expression }} is null then 'unknown'
        when {{ expression }} = floor({{ expression }}) and abs({{ expression }}) < 1000000000000000
            then cast(cast({{ expression }} as bigint) as {{ dbt.type_string() }})
        else cast(cast({{ expression }} as decimal(28, 2)) as {{ dbt.type_string() }})
    end
{%- endmacro %}
