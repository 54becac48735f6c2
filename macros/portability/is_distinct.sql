{#- Whether two values differ, where null is a value like any other.

    one, other: SQL of two values of one type
    Example: is_distinct('band', 'previous_band') -> band is distinct from previous_band. -#}
{% macro is_distinct(one, other) -%}
    {{ return(adapter.dispatch('is_distinct', 'customer_health')(one, other)) }}
{%- endmacro %}

{% macro default__is_distinct(one, other) -%}
    {{ one }} is distinct from {{ other }}
{%- endmacro %}

{% macro redshift__is_distinct(one, other) -%}
    coalesce({{ one }} <> {{ other }}, {{ one }} is not null or {{ other }} is not null)
{%- endmacro %}
