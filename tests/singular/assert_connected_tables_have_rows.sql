-- A table that a connector should fill and that has no row at all is a loader that stopped, or a
-- rule that leaves everything out; taken for silence, it would make every account look ill. A table
-- that one does not have is switched off (customer_health__using_<table>: false).
{% set ns = namespace(tables=[]) %}
{% for table in customer_health.input_contract() %}
{% if customer_health.connector_of(table) is not none and customer_health.using_table(table) %}
{% do ns.tables.append(table) %}
{% endif %}
{% endfor %}

with

{% for table in ns.tables %}
rows_{{ table }} as (select * from {{ ref('stg_health__' ~ table) }}),

{% endfor %}
row_counts as (
    {% for table in ns.tables %}
    select
        '{{ table }}' as source_table,
        '{{ customer_health.connector_of(table) }}' as source_system,
        (select count(*) from rows_{{ table }}) as row_count

    union all

    {% endfor %}
    select
        'none' as source_table,
        'none' as source_system,
        1 as row_count
),

final as (
    select
        source_table,
        source_system,
        row_count
    from row_counts
)

select *
from final
where row_count = 0
