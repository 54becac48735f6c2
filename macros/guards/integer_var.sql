{#- A whole number of the configuration, as SQL.

    name: the var without the prefix, text;  minimum: the smallest number allowed
    Example: integer_var('lookback_days') -> 3. -#}
{% macro integer_var(name, minimum=0) -%}
    {%- set text = var('customer_health__' ~ name) | string | trim -%}
    {%- if not modules.re.match('^[0-9]{1,5}$', text) or text | int < minimum -%}
        {{ exceptions.raise_compiler_error(
            'customer_health__' ~ name ~ ": '" ~ text[:40] ~ "' is no whole number from "
            ~ minimum ~ ' to 99999'
        ) }}
    {%- endif -%}
    {{ return(text | int) }}
{%- endmacro %}
