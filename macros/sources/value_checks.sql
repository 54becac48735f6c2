{#- The first lines of a case expression that checks a row by itself: the reason that staging gave,
    missing keys and values, numbers that are not finite. Repeated here although staging does the
    same, because a staging model of the user's own may not.

    table: name in the input contract;  rows: the CTE
    Example: when contacts.contact_id is null then 'null_key'. -#}
{% macro value_checks(table, rows) -%}
    {%- set columns = customer_health.input_contract()[table]['columns'] -%}
    when {{ rows }}.rejection_reason is not null then {{ rows }}.rejection_reason
    {%- for name, kind, need in columns if need == 'key' %}
            when {{ customer_health.trimmed(rows ~ '.' ~ name) }} is null then 'null_key'
    {%- endfor %}
    {%- for name, kind, need in columns if need == 'required' %}
            when {{ rows }}.{{ name }} is null then 'missing_value'
    {%- endfor %}
    {%- for name, kind, need in columns if kind == 'double' %}
            when
                {{ rows }}.{{ name }} is not null
                and not {{ customer_health.is_finite(rows ~ '.' ~ name) }}
                then 'not_finite'
    {%- endfor %}
{%- endmacro %}
