{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_usage_days() }}",
    tags=['customer_health_history']
) }}
{% set rebuild_from = customer_health.usage_rebuild_from() %}
{% set rebuild_filter =
    "usage_date >= cast('" ~ rebuild_from ~ "' as date)"
    if is_incremental() and rebuild_from is not none else 'true'
%}

with

usage_user_days as (select * from {{ ref('int_health__usage_user_days') }}),

usage_daily as (select * from {{ ref('int_health__valid_product_usage_daily') }}),

-- usage arrives as events, or already counted per account, day and event name
usage_days as (
    select
        account_id,
        usage_date,
        event_name,
        event_count,
        duration_seconds
    from usage_user_days

    union all

    select
        account_id,
        usage_date,
        event_name,
        event_count,
        duration_seconds
    from usage_daily
),

final as (
    select
        account_id,
        usage_date,
        event_name,
        cast(sum(event_count) as bigint) as event_count,
        cast(
            {{ customer_health.exact_sum('duration_seconds') }}
            as {{ customer_health.type_double() }}
        ) as duration_seconds
    from usage_days
    where
        usage_date < {{ customer_health.as_of_date() }}
        and {{ rebuild_filter }}
    group by 1, 2, 3
)

select * from final
{{ customer_health.stored_order(['usage_date']) }}
