{#- A date of the configuration, as SQL. `--vars` reaches SQL as text, so that anything but an ISO
    date is refused before a statement is built.

    name: the var without the prefix, text
    returns: SQL of type date, or none where the var is null

    Example: date_var('daily_from') -> cast('2026-05-01' as date). -#}
{% macro date_var(name) -%}
    {%- set value = var('customer_health__' ~ name, none) -%}
    {%- if value is none or value | string | trim == '' -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return("cast('" ~ customer_health.iso_date(value, 'customer_health__' ~ name) ~ "' as date)") }}
{%- endmacro %}
