{#- Acme's own: a percentage, and -1 where there is nothing to divide by. customer_health has a macro of
    the same name that means something else.

    part, whole: SQL of numbers
    Example: safe_divide('1', '4') -> 25; safe_divide('1', '0') -> -1. -#}
{% macro safe_divide(part, whole) -%}
    coalesce(100.0 * {{ part }} / nullif({{ whole }}, 0), -1)
{%- endmacro %}
