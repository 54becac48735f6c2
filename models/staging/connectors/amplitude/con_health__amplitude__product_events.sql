{{ config(enabled=customer_health.is_connected('amplitude', 'product_events')) }}

with

events as (
    {{ customer_health.vendor_rows('amplitude', 'event', [
        ['event_id', 'id', 'optional', ['uuid', 'insert_id', '_insert_id']],
        ['device_id', 'id', 'optional'],
        ['device_event_id', 'id', 'optional', ['id', 'event_id']],
        ['account_id', 'id', 'optional', ['company_id', 'account_id', 'groups.company_id',
            'group_properties.company_id', 'user_properties.company_id',
            'user_properties.account_id', 'event_properties.company_id']],
        ['user_id', 'id', 'required'],
        ['email', 'label', 'optional', ['user_properties.email']],
        ['event_name', 'label', 'required', ['event_type', 'event_type_name']],
        ['occurred_at', 'timestamp', 'required', ['event_time', 'client_event_time']],
        ['duration_seconds', 'double', 'optional', []],
    ], fills='product_events') | indent(4) }}
),

-- devices without a user are visitors who never logged in; the last resort counts a device's events
final as (
    select
        coalesce(event_id, device_id || '|' || device_event_id) as event_id,
        {{ customer_health.account_key('account_id', 'coalesce(email, user_id)') }} as account_id,
        user_id,
        event_name,
        occurred_at,
        duration_seconds,
        loaded_at
    from events
    where
        user_id is not null
        or account_id is not null
)

select * from final
