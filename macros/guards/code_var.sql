{#- A short code of the configuration (currency, publication id), as SQL text. Only letters,
    digits and `-_:.` are let through, so that no quote ever reaches a statement.

    name: the var without the prefix, text
    Example: code_var('reporting_currency') -> 'USD'. -#}
{% macro code_var(name) -%}
    {%- set text = var('customer_health__' ~ name) | string | trim -%}
    {%- if not modules.re.match('^[A-Za-z0-9_:.-]{1,64}$', text) -%}
        {{ exceptions.raise_compiler_error(
            'customer_health__' ~ name ~ ": '" ~ text[:40] ~ "' may hold letters, digits and -_:. only"
        ) }}
    {%- endif -%}
    {{ return("'" ~ text ~ "'") }}
{%- endmacro %}
