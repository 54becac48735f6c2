-- Every event type of this product is a feature of its own, and every plan includes all of them.
with

usage_rows as (select * from {{ source('crm_simulation', 'event_daily') }}),

event_types as (
    select distinct event_type
    from usage_rows
    where event_type is not null
),

final as (
    select
        event_type as event_name,
        event_type as feature_key,
        cast(null as varchar) as plan,
        cast(null as boolean) as is_key_success_event,
        cast(null as boolean) as is_integration,
        cast(null as timestamp) as loaded_at,
        cast(null as varchar) as rejection_reason
    from event_types
)

select * from final
