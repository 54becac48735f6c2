-- Staging never drops a row: whatever is wrong with one, it goes on with a reason. Where a project
-- stages a table by a model of its own, its raw rows are its own affair, and the way is tested from
-- its staging model on.
{% set ns = namespace(tables=[]) %}
{% for table in customer_health.input_contract() if customer_health.using_table(table) %}
{% set staging = graph.nodes.values() | selectattr('name', 'equalto', 'stg_health__' ~ table)
    | selectattr('package_name', 'equalto', 'customer_health') | list if execute else [1] %}
{% if staging %}
{% do ns.tables.append(table) %}
{% endif %}
{% endfor %}

with

{% for table in ns.tables %}
raw_{{ table }} as (select * from {{ customer_health.raw_table(table) }}),

staged_{{ table }} as (select * from {{ ref('stg_health__' ~ table) }}),

{% endfor %}
row_counts as (
    {% for table in ns.tables %}
    select
        '{{ table }}' as source_table,
        (select count(*) from raw_{{ table }}) as raw_rows,
        (select count(*) from staged_{{ table }}) as staged_rows

    union all

    {% endfor %}
    select
        'none' as source_table,
        0 as raw_rows,
        0 as staged_rows
),

final as (
    select
        source_table,
        raw_rows,
        staged_rows
    from row_counts
)

select *
from final
where raw_rows <> staged_rows
