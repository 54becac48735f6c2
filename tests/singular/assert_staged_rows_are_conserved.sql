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

-- one pass over the events, for both questions about them
events_read as (
    select  -- noqa: ST06
        count(*) as row_count,
        cast(min(occurred_at) as date) as first_day
    from staged_product_events
),

-- the day of the as_of date itself is on no user's day yet
counted_events as (
    select sum(usage_user_days.event_count) as row_count
    from usage_user_days
    cross join events_read
    where
        usage_user_days.usage_date >= events_read.first_day
        and usage_user_days.usage_date < {{ customer_health.as_of_date() }}
),

events_to_come as (
    select count(*) as row_count
    from valid_product_events
    where occurred_at >= cast({{ customer_health.as_of_date() }} as timestamp)
),

found_counts as (
    {% for table in whole_tables + windowed_tables %}
    select
        '{{ table }}' as source_table,
        {% if table == 'product_events' %}
        (select row_count from events_read) as staged_rows,
        (select coalesce(max(row_count), 0) from counted_events)
        + (select row_count from events_to_come) as kept_rows
        {% else %}
        (select count(*) from staged_{{ table }}) as staged_rows,
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
    or {{ customer_health.is_distinct(
        'staged_rows', 'kept_rows + exact_duplicate_count + rejected_rows'
    ) }}
