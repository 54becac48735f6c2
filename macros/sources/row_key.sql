{#- What a row is called, as text: its id, its key columns joined, or a hash where a part is
    missing.

    table: name in the input contract;  rows: the CTE
    Example: billing_exchange_rates -> EUR|2026-06-30. -#}
{% macro row_key(table, rows) -%}
    {%- set contract = customer_health.input_contract()[table] -%}
    {%- set parts = [] -%}
    {%- set must_exist = [] -%}
    {%- for name, kind, need in contract['columns'] if name in contract['key'] -%}
        {%- if need != 'optional' -%}
            {%- do must_exist.append(rows ~ '.' ~ name ~ ' is null') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name in contract['key'] -%}
        {%- set as_text = 'cast(' ~ rows ~ '.' ~ name ~ ' as ' ~ dbt.type_string() ~ ')' -%}
        {%- do parts.append('coalesce(' ~ as_text ~ ", '')") -%}
    {%- endfor -%}
    {%- if contract['key'] | length == 1 -%}
        coalesce({{ rows }}.{{ contract['key'][0] }}, {{ customer_health.row_hash(table, rows) }})
    {%- else -%}
        case
            when {{ must_exist | join(' or ') }} then {{ customer_health.row_hash(table, rows) }}
            else {{ parts | join(" || '|' || ") }}
        end
    {%- endif -%}
{%- endmacro %}
