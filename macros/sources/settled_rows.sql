{#- CTEs that end in `final`: every usable row once, with the number of its copies, and every
    rejected row with its reason. The counterpart of repeated_rows for tables that are copied as a
    whole.

    table: name in the input contract; needs the CTE `checked` of repeated_rows
    Example: {{ customer_health.settled_rows('crm_contacts') }} select * from final. -#}
{% macro settled_rows(table) -%}
{{ customer_health.repeated_rows(table) }},

final as (
    select
        {{ customer_health.contract_columns(table, 'checked') | indent(8) }},
        checked.row_key,
        checked.loaded_at,
        cast(1 as {{ dbt.type_bigint() }}) as copy_count,
        checked.rejection_reason
    from checked
    left join repeated_keys
        on checked.row_key = repeated_keys.row_key
    where
        checked.rejection_reason is not null
        or repeated_keys.row_key is null

    union all

    select
        {{ customer_health.contract_columns(table) | indent(8) }},
        row_key,
        loaded_at,
        copy_count,
        rejection_reason
    from repeated_rows
)
{%- endmacro %}
