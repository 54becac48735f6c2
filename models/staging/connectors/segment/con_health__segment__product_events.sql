{{ config(enabled=customer_health.is_connected('segment', 'product_events')) }}

with

tracks as (
    {{ customer_health.vendor_rows('segment', 'tracks', [
        ['event_id', 'id', 'required', ['id', 'message_id']],
        ['account_id', 'id', 'optional', ['context_group_id', 'account_id']],
        ['user_id', 'id', 'required'],
        ['event_name', 'label', 'required', ['event', 'event_text']],
        ['occurred_at', 'timestamp', 'required', ['timestamp', 'received_at']],
        ['duration_seconds', 'double', 'optional'],
    ], fills='product_events') | indent(4) }}
),

user_accounts as (select * from {{ ref('con_health__segment__user_accounts') }}),

-- visitors who never logged in are nobody's users
final as (
    select  -- noqa: ST06
        tracks.event_id,
        coalesce(tracks.account_id, user_accounts.account_id) as account_id,
        tracks.user_id,
        tracks.event_name,
        tracks.occurred_at,
        tracks.duration_seconds,
        tracks.loaded_at
    from tracks
    left join user_accounts
        on tracks.user_id = user_accounts.user_id
    where
        tracks.user_id is not null
        or tracks.account_id is not null
)

select * from final
