{{ config(enabled=customer_health.is_connected('mixpanel', 'product_events')) }}

with

events as (
    {{ customer_health.vendor_rows('mixpanel', 'event', [
        ['insert_id', 'id', 'required', ['insert_id', 'event_id']],
        ['account_id', 'id', 'optional', ['company_id', 'account_id', 'properties.company_id',
            'properties.account_id', 'properties.$group_id']],
        ['user_id', 'id', 'required', ['distinct_id']],
        ['event_name', 'label', 'required', ['name', 'event']],
        ['occurred_at', 'timestamp', 'required', ['time']],
        ['duration_seconds', 'double', 'optional', ['properties.$duration']],
    ], fills='product_events') | indent(4) }}
),

{% if customer_health.using_table('product_users') %}
users as (select * from {{ ref('con_health__mixpanel__product_users') }}),

{% endif %}
-- Mixpanel itself counts events of one insert_id, person and name once
final as (
    select
        events.insert_id as event_id,
        {{ customer_health.account_key(
            'coalesce(events.account_id, users.account_id)'
            if customer_health.using_table('product_users') else 'events.account_id',
            'events.user_id'
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
)

select * from final
