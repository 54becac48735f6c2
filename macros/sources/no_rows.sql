{#- No row, in the columns and types of a staging model: what a table that a deployment does not
    have looks like downstream.

    columns: list of [name, kind, need], see input_contract
    Example: select cast(null as date) as rate_date, … where 1 = 0. -#}
{% macro no_rows(columns) -%}
with

empty_row as (
    select
        {%- for name, kind, need in columns %}
        cast(null as {{ customer_health.contract_type(kind) }}) as {{ name }},
        {%- endfor %}
        cast(null as {{ dbt.type_timestamp() }}) as loaded_at,
        cast(null as {{ dbt.type_string() }}) as rejection_reason
),

final as (
    select
        {%- for name, kind, need in columns %}
        {{ name }},
        {%- endfor %}
        loaded_at,
        rejection_reason
    from empty_row
    where 1 = 0
)

select * from final
{%- endmacro %}
