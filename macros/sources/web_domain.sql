{#- A web domain as it is compared: lower case, without scheme, www., path and port; null where the
    text is none.

    expression: SQL of text
    Example: 'https://www.Acme.com/shop' -> acme.com. -#}
{% macro web_domain(expression) -%}
    {%- set bare = "replace(replace(lower(" ~ expression ~ "), 'https://', ''), 'http://', '')" -%}
    {%- set host = dbt.split_part(dbt.split_part(bare, "'/'", 1), "':'", 1) -%}
    case
        when {{ host }} like 'www.%' then nullif(replace({{ host }}, 'www.', ''), '')
        else nullif({{ host }}, '')
    end
{%- endmacro %}
