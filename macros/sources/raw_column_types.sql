{#- The columns that a raw table has, with their types, as the warehouse tells. Unit tests of
    staging models override this macro, since their input is no table.

    relation: the source
    returns: dict of column name (lower case) to type (lower case); empty while dbt parses
    Example: {'account_id': 'varchar', 'created_at': 'timestamp with time zone'}. -#}
{% macro raw_column_types(relation) -%}
    {%- set types = {} -%}
    {%- if execute -%}
        {#- --empty and --sample wrap the table into a subquery that cannot be described -#}
        {%- set table = relation.replace(limit=none, event_time_filter=none) -%}
        {%- for column in adapter.get_columns_in_relation(table) -%}
            {%- do types.update({column.name | lower: column.dtype | lower}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(types) }}
{%- endmacro %}
