{#- Where a node is built.

    In this project on DuckDB the marts and the snapshots go to the attached database `marts`
    (candidate.duckdb), so that publishing is a copy of one file. dbt calls this macro for our nodes
    in a project that installs us too, and not that project's own; what it sets as +database wins.

    custom_database_name: text or none, from `+database`
    node: the node, for its place in the folders

    Example: a model under models/marts on DuckDB -> marts; on PostgreSQL -> the target's database. -#}
{% macro generate_database_name(custom_database_name=none, node=none) -%}
    {%- set is_read_by_others = node is not none and (
        node.resource_type == 'snapshot' or (node.fqn | length > 1 and node.fqn[1] == 'marts')
    ) -%}
    {%- if custom_database_name -%}
        {{ custom_database_name | trim }}
    {%- elif target.type == 'duckdb' and is_read_by_others -%}
        marts
    {%- else -%}
        {{ target.database }}
    {%- endif -%}
{%- endmacro %}
