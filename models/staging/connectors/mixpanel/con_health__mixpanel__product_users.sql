{{ config(enabled=customer_health.is_connected('mixpanel', 'product_users')) }}

with

people as (
    {{ customer_health.vendor_rows('mixpanel', 'people', [
        ['user_id', 'id', 'required', ['distinct_id']],
        ['account_id', 'id', 'optional', ['company_id', 'account_id', 'properties.company_id',
            'properties.account_id', 'properties.$group_id']],
        ['role', 'label', 'optional', ['role', 'properties.role']],
        ['email', 'label', 'optional', ['email', 'properties.$email', 'properties.email']],
        ['created_at', 'timestamp', 'required', ['created', 'properties.$created', 'last_seen',
            'properties.$last_seen']],
        ['deactivated_at', 'timestamp', 'optional', []],
    ], fills='product_users') | indent(4) }}
),

final as (
    select
        user_id,
        {{ customer_health.account_key('account_id', 'email') }} as account_id,
        role,
        created_at,
        deactivated_at,
        loaded_at
    from people
)

select * from final
