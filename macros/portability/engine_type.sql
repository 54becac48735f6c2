{#- A type of the YAML files (contracts, seeds) as the engine names it. The YAML has one spelling,
    which is that of DuckDB and PostgreSQL.

    data_type: text
    Example: engine_type('double precision') -> double precision; on Spark double. -#}
{% macro engine_type(data_type) -%}
    {{ return(adapter.dispatch('engine_type', 'customer_health')(data_type)) }}
{%- endmacro %}

{% macro default__engine_type(data_type) -%}
    {{ return(data_type) }}
{%- endmacro %}

{% macro spark__engine_type(data_type) -%}
    {{ return({'text': 'string', 'double precision': 'double'}.get(data_type | lower, data_type)) }}
{%- endmacro %}

{% macro bigquery__engine_type(data_type) -%}
    {%- set names = {
        'text': 'string', 'double precision': 'float64', 'double': 'float64', 'bigint': 'int64',
        'boolean': 'bool',
    } -%}
    {{ return(names.get(data_type | lower, data_type)) }}
{%- endmacro %}
