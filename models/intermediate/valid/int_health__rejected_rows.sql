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
rejected_rows as (
    {% for table in whole_tables %}
    select
        '{{ table }}' as source_table,
        row_key,
        rejection_reason,
        copy_count as row_count
    from checked_{{ table }}
    where rejection_reason is not null

    union all

    {% endfor %}
    {% for table in windowed_tables %}
    select
        '{{ table }}' as source_table,
        row_key,
        rejection_reason,
        row_count
    from counted_{{ table }}
    where rejection_reason is not null

    union all

    select
        '{{ table }}' as source_table,
        row_key,
        rejection_reason,
        copy_count as row_count
    from repeated_{{ table }}
    where rejection_reason is not null

    {% if not loop.last %}
    union all

    {% endif %}
    {% endfor %}
),

-- some systems use the e-mail address as the id
named_rows as (
    select
        source_table,
        case when row_key like '%@%' then {{ dbt.hash('row_key') }} else row_key end as row_key,
        rejection_reason,
        row_count
    from rejected_rows
),

final as (
    select
        cast(source_table as {{ dbt.type_string() }}) as source_table,
        cast(row_key as {{ dbt.type_string() }}) as row_key,
        cast(rejection_reason as {{ dbt.type_string() }}) as rejection_reason,
        cast(sum(row_count) as {{ dbt.type_bigint() }}) as row_count
    from named_rows
    group by 1, 2, 3
)

select * from final
