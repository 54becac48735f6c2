{#- A history table as earlier runs left it, or none where history is built from the start. For the
    rows before the first date of this run only: the later ones are replaced on the way. `ref` cannot
    name it, where what is built now depends on those rows; that would close a circle.

    name: a model with the tag customer_health_history
    Example: history_relation('fct_health__metric_scores'). -#}
{% macro history_relation(name) -%}
    {%- if customer_health.built_dates_relation() is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set state = namespace(relation=none) -%}
    {%- for node in graph.nodes.values() | selectattr('name', 'equalto', name) -%}
        {%- if node.package_name == 'customer_health' and node.resource_type == 'model' -%}
            {%- set state.relation = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(state.relation) }}
{%- endmacro %}
