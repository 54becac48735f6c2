-- Events are read here, once, and never again: all that follows works on days.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_usage_days() }}",
    tags=['customer_health_history']
) }}

with

events as (
    select *
    from {{ ref('int_health__valid_product_events') }}
    where
        occurred_at < cast({{ customer_health.as_of_date() }} as timestamp)
        and {{ customer_health.usage_rebuild_filter('occurred_at') }}
),

final as (
    select
        account_id,
        user_id,
        event_name,
        cast(occurred_at as date) as usage_date,
        cast(count(*) as bigint) as event_count,
        cast(
            {{ customer_health.exact_sum('duration_seconds') }}
            as {{ customer_health.type_double() }}
        ) as duration_seconds
    from events
    group by 1, 2, 3, 4
)

select * from final
{{ customer_health.stored_order(['usage_date']) }}
