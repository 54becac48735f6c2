{#- A sum that does not depend on the order of its rows or on the number of threads: decimals are
    added, not floats.

    expression: SQL of a number;  over: a window, for a running sum
    Example: exact_sum('weight * score') -> sum(cast(weight * score as decimal(28, 12))). -#}
{% macro exact_sum(expression, over=none) -%}
    sum({{ customer_health.to_decimal(expression) }}){% if over %} over ({{ over }}){% endif %}
{%- endmacro %}
