-- Every feature is part of every plan.
with

usage_rows as (select * from {{ source('ravenstack', 'feature_usage') }}),

features as (
    select distinct feature_name
    from usage_rows
    where feature_name is not null
),

final as (
    select
        feature_name as event_name,
        feature_name as feature_key,
        cast(null as varchar) as plan,
        cast(null as boolean) as is_key_success_event,
        cast(null as boolean) as is_integration,
        cast(null as timestamp) as loaded_at,
        cast(null as varchar) as rejection_reason
    from features
)

select * from final
