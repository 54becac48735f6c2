{#- The columns of a vendor's table as the warehouse tells, by lower-case name, each with the name as
    it is written there and its class. Unit tests of connectors override this macro.

    relation: the source
    returns: dict of name to {name, type, class}; empty where the table is absent or dbt parses
    Example: {'id': {'name': 'ID', 'type': 'number(38,0)', 'class': 'integer'}}. -#}
{% macro vendor_columns(relation) -%}
    {%- set found = {} -%}
    {%- if execute -%}
        {%- set table = adapter.get_relation(relation.database, relation.schema, relation.identifier) -%}
        {%- for column in (adapter.get_columns_in_relation(table) if table else []) -%}
            {%- set type = column.dtype | lower -%}
            {%- do found.update({column.name | lower: {
                'name': column.name, 'type': type, 'class': customer_health.type_class(type)
            }}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}
