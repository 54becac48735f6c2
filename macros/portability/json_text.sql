{#- The text under a key of a JSON document; null where there is none.

    document: SQL of text, or of the engine's JSON type;  key: name of the key, may hold dots
    Example: json_text('properties', 'company_id') on {"company_id": "A1"} -> A1. -#}
{% macro json_text(document, key) -%}
    {%- if not modules.re.match('^[A-Za-z0-9_$. -]+$', key) -%}
        {{ exceptions.raise_compiler_error("'" ~ key ~ "' is no plain key of a JSON document") }}
    {%- endif -%}
    {{ return(adapter.dispatch('json_text', 'customer_health')(document, key)) }}
{%- endmacro %}

{% macro default__json_text(document, key) -%}
    get_json_object({{ document }}, '$["{{ key }}"]')
{%- endmacro %}

{#- DuckDB fails on a text that is no JSON. -#}
{% macro duckdb__json_text(document, key) -%}
    case
        when json_valid(cast({{ document }} as varchar))
            then json_extract_string(cast({{ document }} as varchar), '$."{{ key }}"')
    end
{%- endmacro %}

{% macro postgres__json_text(document, key) -%}
    (cast({{ document }} as jsonb) ->> '{{ key }}')
{%- endmacro %}

{% macro spark__json_text(document, key) -%}
    get_json_object(cast({{ document }} as string), '$[\'{{ key }}\']')
{%- endmacro %}

{% macro snowflake__json_text(document, key) -%}
    cast(get(try_parse_json(cast({{ document }} as varchar)), '{{ key }}') as varchar)
{%- endmacro %}

{% macro bigquery__json_text(document, key) -%}
    json_value({{ document }}, '$."{{ key }}"')
{%- endmacro %}

{% macro redshift__json_text(document, key) -%}
    json_extract_path_text({{ document }}, '{{ key }}', true)
{%- endmacro %}
