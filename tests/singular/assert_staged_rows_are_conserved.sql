-- A row that vanishes between a raw table and the scores would never be missed. So, for each raw
-- table: rows staged = kept + exact duplicates + rejected, where the rows staged and the rows kept
-- are counted anew, at both ends of the way, and not taken from what the models say of themselves.
-- Holds for staging models of a project's own as well. Of events and daily usage the rows of the
-- days that the run read; events that were kept are counted where everything else takes them from,
-- in the days of users, since checking all of them anew would take as long as reading them did.
{% set windowed_tables = customer_health.windowed_tables() %}
{% set whole_tables =
    customer_health.input_contract().keys() | reject('in', windowed_tables) | list
%}

with

{% for table in whole_tables + windowed_tables %}
{% set staged_model = 'int_health__windowed_' if table in windowed_tables else 'stg_health__' %}
staged_{{ table }} as (select * from {{ ref(staged_model ~ table) }}),

valid_{{ table }} as (select * from {{ ref('int_health__valid_' ~ table) }}),

{% endfor %}
source_rows as (select * from {{ ref('int_health__source_rows') }}),

rejected_rows as (select * from {{ ref('int_health__rejected_rows') }}),

usage_user_days as (select * from {{ ref('int_health__usage_user_days') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

-- from the first day that was read until the last date, whose own day nothing has counted yet
days_read as (
    select
        (select cast(min(occurred_at) as date) from staged_product_events) as first_day,
        (select max(as_of_date) from build_dates) as until_day
),

counted_events as (
    select sum(usage_user_days.event_count) as row_count
    from usage_user_days
    cross join days_read
    where
        usage_user_days.usage_date >= days_read.first_day
        and usage_user_days.usage_date < days_read.until_day
),

events_to_come as (
    select count(*) as row_count
    from valid_product_events
    where occurred_at >= (select cast(until_day as timestamp) from days_read)
),

found_counts as (
    {% for table in whole_tables + windowed_tables %}
    select
        '{{ table }}' as source_table,
        (select count(*) from staged_{{ table }}) as staged_rows,
        {% if table == 'product_events' %}
        (select coalesce(max(row_count), 0) from counted_events)
        + (select row_count from events_to_come) as kept_rows
        {% else %}
        (select count(*) from valid_{{ table }}) as kept_rows
        {% endif %}

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
        found_counts.source_table,
        found_counts.staged_rows,
        found_counts.kept_rows,
        source_rows.row_count,
        source_rows.kept_count,
        source_rows.exact_duplicate_count,
        source_rows.rejected_count,
        coalesce(rejected_counts.rejected_rows, 0) as rejected_rows
    from found_counts
    left join source_rows
        on found_counts.source_table = source_rows.source_table
    left join rejected_counts
        on found_counts.source_table = rejected_counts.source_table
)

select *
from final
where
    {{ customer_health.is_distinct('staged_rows', 'row_count') }}
    or {{ customer_health.is_distinct('kept_rows', 'kept_count') }}
    or {{ customer_health.is_distinct('rejected_rows', 'rejected_count') }}
    or {{ customer_health.is_distinct('staged_rows', 'kept_rows + exact_duplicate_count + rejected_rows') }}
