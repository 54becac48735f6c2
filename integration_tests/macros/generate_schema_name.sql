{#- Acme's rule: two underscores between the target's schema and the name, where dbt puts one.

    custom_schema_name: text or none;  node: the node
    Example: staging in the target schema acme -> acme__staging. -#}
{% macro generate_schema_name(custom_schema_name=none, node=none) -%}
    {{ target.schema }}{% if custom_schema_name %}__{{ custom_schema_name | trim }}{% endif %}
{%- endmacro %}
