{#- A bound of Wilson's 95% interval of a share (Wilson 1927): also sound for few rows and for shares
    near 0 and 1, where the usual interval leaves 0 to 1. Null without rows.

    count: SQL of the rows that count;  total: SQL of all rows;  side: 'low' or 'high'
    Example: wilson_bound('1', '10', 'low') -> 0.0179. -#}
{% macro wilson_bound(count, total, side) -%}
    {%- if side not in ('low', 'high') -%}
        {{ exceptions.raise_compiler_error("wilson_bound: side is 'low' or 'high', not " ~ side) }}
    {%- endif -%}
    {%- set z = customer_health.normal_quantile_95() -%}
    {%- set share = customer_health.safe_divide(count, total) -%}
    {%- set n = 'cast(' ~ total ~ ' as ' ~ (customer_health.type_double() | trim) ~ ')' -%}
    {{ customer_health.safe_divide(
        share ~ ' + ' ~ z * z / 2 ~ ' / nullif(' ~ n ~ ', 0)'
        ~ (' - ' if side == 'low' else ' + ')
        ~ z ~ ' * sqrt((' ~ share ~ ' * (1 - ' ~ share ~ ') + ' ~ z * z / 4
        ~ ' / nullif(' ~ n ~ ', 0)) / nullif(' ~ n ~ ', 0))',
        '1 + ' ~ z * z ~ ' / nullif(' ~ n ~ ', 0)'
    ) }}
{%- endmacro %}
