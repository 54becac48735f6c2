{#- The columns of a raw table, as the lines of a select list.

    table: name in the input contract;  rows: the CTE to qualify them with, or none
    Example: contract_columns('product_features', 'features') -> features.event_name, ... -#}
{% macro contract_columns(table, rows=none) -%}
    {%- set lines = [] -%}
    {%- for name, kind, need in customer_health.input_contract()[table]['columns'] -%}
        {%- do lines.append((rows ~ '.' if rows else '') ~ name) -%}
    {%- endfor -%}
    {{ return(lines | join(',\n')) }}
{%- endmacro %}
