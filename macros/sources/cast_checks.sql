{#- The lines of a case expression that name what went wrong in the cast of one column. Nothing for
    a column that cannot go wrong.

    name: column;  kind: see input_contract;  class: see type_class, none for an absent column
    Example: when amount is null and raw_amount is not null then 'uncastable'. -#}
{% macro cast_checks(name, kind, class) -%}
    {%- set raw = 'raw_' ~ name -%}
    {%- set is_lost = name ~ ' is null and ' ~ raw ~ ' is not null' -%}
    {%- set naive = customer_health.timestamp_patterns()['naive'] -%}
    {%- if customer_health.has_raw_copy(kind, class) -%}
        {%- if kind == 'timestamp' and class == 'text' %}
                {%- if customer_health.naive_timezone() is none %}
                when {{ is_lost }} and {{ customer_health.matches(raw, naive) }}
                    then 'naive_timestamp'
                {%- endif %}
        {%- elif kind == 'double' and class == 'text' %}
                when {{ is_lost }} and {{ customer_health.looks_like_number(raw) }}
                    then 'not_finite'
        {%- endif %}
                when {{ is_lost }} then 'uncastable'
    {%- elif kind == 'timestamp' and class in ['zoned', 'naive'] %}
                when {{ name }} is not null and not {{ customer_health.is_finite_timestamp(name) }}
                    then 'not_finite'
    {%- endif -%}
    {%- if kind == 'double' and class in ['number', 'text'] %}
                when {{ name }} is not null and not {{ customer_health.is_finite(name) }}
                    then 'not_finite'
    {%- endif -%}
{%- endmacro %}
