{#- The columns of a contract with their types as the engine names them (engine_type).

    columns: dict of the columns of a model's YAML
    returns: the same, as dict of dicts
    Example: {'arr': {'name': 'arr', 'data_type': 'double precision'}} on BigQuery
        -> {'arr': {'name': 'arr', 'data_type': 'float64'}}. -#}
{% macro engine_columns(columns) -%}
    {%- set named = {} -%}
    {%- for name, column in columns.items() -%}
        {%- set column = dict(column) -%}
        {%- if column.get('data_type') -%}
            {%- do column.update({'data_type': customer_health.engine_type(column['data_type'])}) -%}
        {%- endif -%}
        {%- do named.update({name: column}) -%}
    {%- endfor -%}
    {{ return(named) }}
{%- endmacro %}

{#- In place of dbt's own: the columns and constraints of a `create table`. A project that installs us
    lets dbt find these by `dispatch` (docs/engines.md).

    Example: on BigQuery -> (arr float64 not null, …). -#}
{% macro bigquery__get_table_columns_and_constraints() -%}
    {{ return(customer_health.engine_columns_and_constraints()) }}
{%- endmacro %}

{% macro engine_columns_and_constraints() -%}
    {%- set columns = customer_health.engine_columns(model['columns']) -%}
    {%- set lines = adapter.render_raw_columns_constraints(raw_columns=columns)
        + adapter.render_raw_model_constraints(raw_constraints=model['constraints']) -%}
    ({{ lines | join(', ') }})
{%- endmacro %}

{#- In place of dbt's own: the empty select that the rows of a model are compared with.

    Example: on BigQuery -> select cast(null as float64) as arr. -#}
{% macro bigquery__get_empty_schema_sql(columns) -%}
    {{ return(dbt.default__get_empty_schema_sql(customer_health.engine_columns(columns))) }}
{%- endmacro %}
