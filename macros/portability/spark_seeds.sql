{#- In place of dbt's own on Spark: the table of a seed, with the types as Spark names them. -#}
{% macro spark__create_csv_table(model, agate_table) -%}
    {%- do customer_health.name_seed_types(model) -%}
    {{ return(dbt.spark__create_csv_table(model, agate_table)) }}
{%- endmacro %}

{#- In place of dbt's own on Spark: the rows of a seed, cast to the types as Spark names them. -#}
{% macro spark__load_csv_rows(model, agate_table) -%}
    {%- do customer_health.name_seed_types(model) -%}
    {{ return(dbt.spark__load_csv_rows(model, agate_table)) }}
{%- endmacro %}

{#- Writes the types of a seed's columns in the spelling of the engine.

    model: the seed, as dbt hands it to macros
    Example: column_types {'score': 'double precision'} -> {'score': 'double'} on Spark. -#}
{% macro name_seed_types(model) -%}
    {%- set named = {} -%}
    {%- for column, data_type in model['config'].get('column_types', {}).items() -%}
        {%- do named.update({column: customer_health.engine_type(data_type)}) -%}
    {%- endfor -%}
    {%- do model['config'].update({'column_types': named}) -%}
{%- endmacro %}
