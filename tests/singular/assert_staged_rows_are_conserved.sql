-- A row that vanishes between a raw table and the scores would never be missed. So, for each raw
-- table: rows = kept + exact duplicates of kept rows + rejected. Events and daily usage count from
-- the checked view, which is what the run read of them.
{% set windowed_tables = ['product_events', 'product_usage_daily'] %}
{% set whole_tables =
    customer_health.input_contract().keys() | reject('in', windowed_tables) | list
%}

with

{% for table in whole_tables %}
staged_{{ table }} as (select * from {{ ref('stg_health__' ~ table) }}),

settled_{{ table }} as (select * from {{ ref('int_health__checked_' ~ table) }}),

valid_{{ table }} as (select * from {{ ref('int_health__valid_' ~ table) }}),

{% endfor %}
{% for table in windowed_tables %}
staged_{{ table }} as (select * from {{ ref('int_health__checked_' ~ table) }}),

settled_{{ table }} as (select * from {{ ref('int_health__repeated_' ~ table) }}),

valid_{{ table }} as (select * from {{ ref('int_health__valid_' ~ table) }}),

{% endfor %}
rejected_rows as (select * from {{ ref('int_health__rejected_rows') }}),

row_counts as (
    {% for table in whole_tables + windowed_tables %}
    select
        '{{ table }}' as source_table,
        (select count(*) from staged_{{ table }}) as staged_rows,
        (select count(*) from valid_{{ table }}) as kept_rows,
        (
            select coalesce(sum(copy_count - 1), 0)
            from settled_{{ table }}
            where rejection_reason is null
        ) as exact_duplicates

    {% if not loop.last %}
    union all

    {% endif %}
    {% endfor %}
),

rejected_counts as (
    select
        source_table,
        sum(row_count) as rejected_rows
    from rejected_rows
    group by 1
),

final as (
    select
        row_counts.source_table,
        row_counts.staged_rows,
        row_counts.kept_rows,
        row_counts.exact_duplicates,
        coalesce(rejected_counts.rejected_rows, 0) as rejected_rows
    from row_counts
    left join rejected_counts
        on row_counts.source_table = rejected_counts.source_table
)

select *
from final
where staged_rows <> kept_rows + exact_duplicates + rejected_rows
