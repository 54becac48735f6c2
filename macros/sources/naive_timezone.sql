{#- The zone of timestamps that are written as text without an offset, or none: then such rows are
    set aside, since a guess would shift every day boundary.

    Example: customer_health__naive_timezone: Europe/Berlin -> Europe/Berlin. -#}
{% macro naive_timezone() -%}
    {%- set zone = var('customer_health__naive_timezone', none) -%}
    {%- if zone is none or zone | string | trim == '' -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set zone = zone | string | trim -%}
    {%- if not modules.re.match('^[A-Za-z][A-Za-z0-9_+/-]{0,63}$', zone) -%}
        {{ exceptions.raise_compiler_error(
            "customer_health__naive_timezone: '" ~ zone[:40]
            ~ "' is no name of a zone, write it as Europe/Berlin"
        ) }}
    {%- endif -%}
    {{ return(zone) }}
{%- endmacro %}
