{#- A 64-bit float type. dbt.type_float() is 32 bits wide on DuckDB and Spark.

    Example: cast(value as {{ customer_health.type_double() }}) -> cast(value as double) on DuckDB. -#}
{% macro type_double() -%}
    {{ return(adapter.dispatch('type_double', 'customer_health')()) }}
{%- endmacro %}

{% macro default__type_double() -%} double precision {%- endmacro %}

{% macro duckdb__type_double() -%} double {%- endmacro %}

{% macro spark__type_double() -%} double {%- endmacro %}

{% macro bigquery__type_double() -%} float64 {%- endmacro %}
