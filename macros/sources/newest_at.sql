{#- The newest instant of a source before the as_of date, as an aggregate. A day counts as its
    midnight; what lies ahead, such as a subscription that is agreed, says nothing about the source.

    table: name in the input contract
    Example: newest_at('crm_touchpoints') -> max(case when occurred_at < '2026-06-30' then … end),
        with casts. -#}
{% macro newest_at(table) -%}
    {%- set column = customer_health.input_contract()[table]['newest'] -%}
    {%- set timestamp = dbt.type_timestamp() -%}
    {%- set as_of = 'cast(' ~ customer_health.as_of_date() ~ ' as ' ~ timestamp ~ ')' -%}
    {%- if column is none -%}
        {{ return('cast(null as ' ~ timestamp ~ ')') }}
    {%- endif -%}
    {%- set instant = 'cast(' ~ column ~ ' as ' ~ timestamp ~ ')' -%}
    {{ return('max(case when ' ~ instant ~ ' < ' ~ as_of ~ ' then ' ~ instant ~ ' end)') }}
{%- endmacro %}
