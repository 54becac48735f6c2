{#- Acme's rule in one scenario: what a package builds carries the package's initials.

    custom_alias_name: text or none;  node: the node
    Example: dim_health__accounts of customer_health -> ch_dim_health__accounts. -#}
{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {%- set name = custom_alias_name | trim if custom_alias_name else node.name -%}
    {{ 'ch_' if node.package_name == 'customer_health' }}{{ name }}
{%- endmacro %}
