{#- Stops the run where a raw table that is declared does not exist, or lacks a column that the
    input contract asks for. One line names the table, the column and the nearest name there is.

    table: name in the input contract;  columns: its columns;  types: dict of raw_column_types
    Example: raw table crm_accounts has no column created_at (nearest: create_at) … -#}
{% macro check_raw_columns(table, columns, types) -%}
    {%- if execute -%}
        {%- if not types -%}
            {{ exceptions.raise_compiler_error(
                'raw table ' ~ table ~ ' does not exist: load it as '
                ~ customer_health.raw_table(table)
                ~ ' (customer_health__raw_database and customer_health__raw_schema say where)'
                ~ (
                    ', or set customer_health__using_' ~ table ~ ': false'
                    if table != 'crm_accounts' else ''
                )
            ) }}
        {%- endif -%}
        {%- for name, kind, need in columns if need != 'optional' and name not in types -%}
            {%- set known = columns | map(attribute=0) | list -%}
            {%- set unknown = types.keys() | reject('in', known) | list -%}
            {%- set nearest = customer_health.nearest_name(name, unknown or types.keys() | list) -%}
            {{ exceptions.raise_compiler_error(
                'raw table ' ~ table ~ ' has no column ' ~ name
                ~ (' (nearest: ' ~ nearest ~ ')' if nearest else '')
                ~ ': rename it, or write a model stg_health__' ~ table ~ ' of your own'
            ) }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
