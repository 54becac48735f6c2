{#- The relation of this name and type that is there, or none. One of another type (a model that was
    a view and is a table now) is dropped first. -#}
{% macro relation_to_replace(type) %}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- if existing_relation is not none and existing_relation.type != type -%}
        {%- do adapter.drop_relation(existing_relation) -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(existing_relation) }}
{% endmacro %}
