{#- The hooks of a model but those of this project that render to nothing on DuckDB: with over 200
    models, rendering them takes longer than many a model.

    hooks: list of hooks, as dbt hands them to a materialization

    Example: hooks_with_work(pre_hooks) -> the hooks that a fork of this project has added. -#}
{% macro hooks_with_work(hooks) %}
    {%- set nothing_on_duckdb = [
        '{{ customer_health.check_refs() }}',
        '{{ customer_health.tune_session() }}',
        '{{ customer_health.collect_statistics() }}',
    ] -%}
    {{ return(hooks | rejectattr('sql', 'in', nothing_on_duckdb) | list) }}
{% endmacro %}
