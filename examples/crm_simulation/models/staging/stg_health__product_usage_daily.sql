with

usage_rows as (select * from {{ source('crm_simulation', 'event_daily') }}),

final as (
    select
        account_id,
        event_date as usage_date,
        event_type as event_name,
        event_count,
        active_users,
        cast(null as double) as duration_seconds,
        cast(null as timestamp) as loaded_at,
        case
            when account_id is null then 'null_key'
            when event_date is null or event_type is null or event_count is null
                then 'missing_value'
        end as rejection_reason
    from usage_rows
)

select * from final
