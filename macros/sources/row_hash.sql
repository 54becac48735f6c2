{#- A hash of the texts of a row: names rows that have no key, and decides between rows that nothing
    else tells apart. Numbers and instants are left out, since engines write them differently.

    table: name in the input contract;  rows: the CTE, or none
    Example: row_hash('product_features') -> md5 of event_name|feature_key|plan. -#}
{% macro row_hash(table, rows=none) -%}
    {%- set texts = [] -%}
    {%- for name, kind, need in customer_health.input_contract()[table]['columns'] -%}
        {%- if kind in ['id', 'text', 'label', 'code', 'currency'] -%}
            {%- do texts.append("coalesce(" ~ (rows ~ '.' if rows else '') ~ name ~ ", '')") -%}
        {%- endif -%}
    {%- endfor -%}
    {{ dbt.hash(texts | join(" || '|' || ")) }}
{%- endmacro %}
