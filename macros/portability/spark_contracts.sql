{#- In place of dbt's own on Spark: the empty select that the rows of a model are compared with, its
    types as Spark names them (engine_columns).

    Example: {'arr': {'name': 'arr', 'data_type': 'double precision'}}
        -> select cast(null as double) as arr. -#}
{% macro spark__get_empty_schema_sql(columns) -%}
    {{ return(dbt.default__get_empty_schema_sql(customer_health.engine_columns(columns))) }}
{%- endmacro %}
