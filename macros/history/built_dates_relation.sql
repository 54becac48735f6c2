{#- The table int_health__built_dates as the last run left it, or none where history has to be built
    from the start: on a first run, after one of the history tables (tag customer_health_history) was
    dropped, and on a full refresh that is allowed. `ref` cannot name it here: what is to be built
    depends on what was built last time, and that would close a circle. -#}
{% macro built_dates_relation() -%}
    {%- if not execute or (flags.FULL_REFRESH and var('customer_health__allow_full_refresh', false)) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set state = namespace(marker=none, is_complete=true) -%}
    {%- for node in graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') -%}
        {%- if node.package_name == 'customer_health' and 'customer_health_history' in node.tags -%}
            {%- set relation = adapter.get_relation(node.database, node.schema, node.alias) -%}
            {%- if relation is none -%}
                {%- set state.is_complete = false -%}
            {%- elif node.name == 'int_health__built_dates' -%}
                {%- set state.marker = relation -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(state.marker if state.is_complete else none) }}
{%- endmacro %}
