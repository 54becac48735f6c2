-- Acme counts usage per day already, in a table of its own shape: it takes the place of the package's
-- staging model, whose columns it has.
with

usage_by_day as (select * from {{ source('acme', 'usage_by_day') }}),

final as (
    select
        customer as account_id,
        cast(day as date) as usage_date,
        action as event_name,
        cast(times as bigint) as event_count,
        cast(people as bigint) as active_users,
        cast(null as double) as duration_seconds,
        cast(null as timestamp) as loaded_at,
        case
            when customer is null then 'null_key'
            when day is null or action is null or times is null then 'missing_value'
        end as rejection_reason
    from usage_by_day
)

select * from final
