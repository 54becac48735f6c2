{{ config(materialized='table') }}
{% set windowed_tables = customer_health.windowed_tables() %}
{% set whole_tables =
    customer_health.input_contract().keys() | reject('in', windowed_tables) | list
%}

with

{% for table in whole_tables %}
checked_{{ table }} as (select * from {{ ref('int_health__checked_' ~ table) }}),

{% endfor %}
{% for table in windowed_tables %}
counted_{{ table }} as (select * from {{ ref('int_health__counted_' ~ table) }}),

repeated_{{ table }} as (select * from {{ ref('int_health__repeated_' ~ table) }}),

{% endfor %}
counted_rows as (
    {% for table in whole_tables %}
    select
        '{{ table }}' as source_table,
        rejection_reason,
        sum(copy_count) as row_count,
        count(*) as distinct_count,
        {{ customer_health.newest_at(table) }} as newest_at
    from checked_{{ table }}
    group by 1, 2

    union all

    {% endfor %}
    {% for table in windowed_tables %}
    select
        '{{ table }}' as source_table,
        rejection_reason,
        row_count,
        row_count as distinct_count,
        newest_at
    from counted_{{ table }}

    union all

    -- counted above as usable, one by one: taken out here, and put back as they were settled
    select
        '{{ table }}' as source_table,
        cast(null as {{ dbt.type_string() }}) as rejection_reason,
        -1 * sum(copy_count) as row_count,
        -1 * sum(copy_count) as distinct_count,
        cast(null as {{ dbt.type_timestamp() }}) as newest_at
    from repeated_{{ table }}

    union all

    select
        '{{ table }}' as source_table,
        rejection_reason,
        sum(copy_count) as row_count,
        count(*) as distinct_count,
        cast(null as {{ dbt.type_timestamp() }}) as newest_at
    from repeated_{{ table }}
    group by 1, 2

    union all

    {% endfor %}
    -- a table without rows is told as such
    {% for table in whole_tables + windowed_tables %}
    select
        '{{ table }}' as source_table,
        cast(null as {{ dbt.type_string() }}) as rejection_reason,
        0 as row_count,
        0 as distinct_count,
        cast(null as {{ dbt.type_timestamp() }}) as newest_at

    {% if not loop.last %}
    union all

    {% endif %}
    {% endfor %}
),

totals as (
    select
        source_table,
        sum(row_count) as row_count,
        sum(case when rejection_reason is null then distinct_count else 0 end) as kept_count,
        sum(
            case when rejection_reason is null then row_count - distinct_count else 0 end
        ) as exact_duplicate_count,
        sum(case when rejection_reason is not null then row_count else 0 end) as rejected_count,
        sum(case when rejection_reason = 'orphan' then row_count else 0 end) as orphan_count,
        max(case when rejection_reason is null then newest_at end) as newest_at
    from counted_rows
    group by 1
),

final as (
    select
        cast(source_table as {{ dbt.type_string() }}) as source_table,
        cast(row_count as {{ dbt.type_bigint() }}) as row_count,
        cast(kept_count as {{ dbt.type_bigint() }}) as kept_count,
        cast(exact_duplicate_count as {{ dbt.type_bigint() }}) as exact_duplicate_count,
        cast(rejected_count as {{ dbt.type_bigint() }}) as rejected_count,
        cast(orphan_count as {{ dbt.type_bigint() }}) as orphan_count,
        cast(newest_at as {{ dbt.type_timestamp() }}) as newest_at
    from totals
)

select * from final
