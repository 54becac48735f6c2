{#- CTE `final`: one row for each rejected row_key and reason, with the number of its rows, and one
    (row_key and reason null) for all usable rows. One pass over the source answers what was set
    aside, how much there was, and how far the source has got.

    table: name in the input contract; needs the CTE `checked`
    Example: {{ customer_health.counted_rows('product_events') }} select * from final. -#}
{% macro counted_rows(table) -%}
final as (
    select
        case
            {%- if customer_health.is_mapped_table(table) %}
            when rejection_reason in ('unmatched_account', 'ambiguous_account')
                then coalesce(account_id, row_key)
            {%- endif %}
            when rejection_reason is not null then row_key
        end as row_key,
        rejection_reason,
        cast(count(*) as {{ dbt.type_bigint() }}) as row_count,
        {{ customer_health.newest_at(table) }} as newest_at
    from checked
    group by 1, 2
)
{%- endmacro %}
