{#- CTEs that end in `final`: the usable rows whose key occurs more than once, settled. What
    settled_rows is for tables that are copied as a whole; a table that is read by days is too large
    to be copied, so that only these rows are.

    Repeated keys are looked for in `windowed`, before the checks, so that the engine neither checks
    every row for this nor keeps the checked rows.

    table: name in the input contract; needs the CTEs `windowed` and `checked`
    Example: {{ customer_health.settled_windowed_rows('product_events') }} select * from final. -#}
{% macro settled_windowed_rows(table) -%}
windowed_keys as (
    select {{ customer_health.row_key(table, 'windowed') }} as row_key
    from windowed
),

{{ customer_health.repeated_rows(table, keys='windowed_keys') }},

final as (
    select
        {{ customer_health.contract_columns(table) | indent(8) }},
        row_key,
        loaded_at,
        copy_count,
        rejection_reason
    from repeated_rows
)
{%- endmacro %}
