{#- Stops the run where a raw table lacks a column that the input contract asks for. One line names
    the table, the column and the nearest name that the table has.

    table: name in the input contract;  columns: its columns;  types: dict of raw_column_types
    Example: raw table crm_accounts has no column created_at (nearest: create_at) … -#}
{% macro check_raw_columns(table, columns, types) -%}
    {%- if execute -%}
        {%- for name, kind, need in columns if need != 'optional' and name not in types -%}
            {%- set unknown = types.keys() | reject('in', columns | map(attribute=0) | list) | list -%}
            {%- set nearest = customer_health.nearest_name(name, unknown or types.keys() | list) -%}
            {{ exceptions.raise_compiler_error(
                'raw table ' ~ table ~ ' has no column ' ~ name
                ~ (' (nearest: ' ~ nearest ~ ')' if nearest else '')
                ~ ': rename it, or write a model stg_health__' ~ table ~ ' of your own'
            ) }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
