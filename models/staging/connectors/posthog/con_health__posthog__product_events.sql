{{ config(enabled=customer_health.is_connected('posthog', 'product_events')) }}

with

events as (
    {{ customer_health.vendor_rows('posthog', 'events', [
        ['event_id', 'id', 'required', ['uuid', 'id']],
        ['account_id', 'id', 'optional', ['properties.$group_0', 'properties.company_id',
            'properties.account_id']],
        ['user_id', 'id', 'required', ['distinct_id']],
        ['email', 'label', 'optional', ['person_properties.email', 'properties.email']],
        ['event_name', 'label', 'required', ['event']],
        ['occurred_at', 'timestamp', 'required', ['timestamp']],
        ['is_identified', 'boolean', 'optional', ['properties.$is_identified']],
        ['duration_seconds', 'double', 'optional', []],
    ], fills='product_events') | indent(4) }}
),

{% if customer_health.using_table('product_users') %}
users as (select * from {{ ref('con_health__posthog__product_users') }}),

{% endif %}
-- visitors who never logged in are nobody's users
final as (
    select
        events.event_id,
        {{ customer_health.account_key(
            'coalesce(events.account_id, users.account_id)'
            if customer_health.using_table('product_users') else 'events.account_id',
            'coalesce(events.email, events.user_id)'
        ) }} as account_id,
        events.user_id,
        events.event_name,
        events.occurred_at,
        events.duration_seconds,
        events.loaded_at
    from events
    {% if customer_health.using_table('product_users') %}
    left join users
        on events.user_id = users.user_id
    {% endif %}
    where
        coalesce(events.is_identified, true)
        or events.account_id is not null
)

select * from final
