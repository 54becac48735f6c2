{#- A whole number of the configuration, not negative, as SQL.

    name: the var without the prefix, text
    Example: integer_var('lookback_days') -> 3. -#}
{% macro integer_var(name) -%}
    {%- set text = var('customer_health__' ~ name) | string | trim -%}
    {%- if not modules.re.match('^[0-9]{1,5}$', text) -%}
        {{ exceptions.raise_compiler_error(
            'customer_health__' ~ name ~ ": '" ~ text[:40] ~ "' is no whole number of days, 0 or more"
        ) }}
    {%- endif -%}
    {{ return(text | int) }}
{%- endmacro %}
