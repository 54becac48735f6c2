{{ config(enabled=customer_health.is_connected('posthog', 'product_users')) }}

with

persons as (
    {{ customer_health.vendor_rows('posthog', 'persons', [
        ['user_id', 'id', 'required', ['distinct_id', 'id', 'person_id']],
        ['account_id', 'id', 'optional', ['properties.company_id', 'properties.account_id']],
        ['role', 'label', 'optional', ['properties.role']],
        ['email', 'label', 'optional', ['properties.email']],
        ['created_at', 'timestamp', 'required'],
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
    from persons
)

select * from final
