{{ config(enabled=customer_health.is_connected('segment', 'product_users')) }}

with

user_accounts as (select * from {{ ref('con_health__segment__user_accounts') }}),

final as (
    select
        user_id,
        account_id,
        role,
        created_at,
        deactivated_at,
        loaded_at
    from user_accounts
)

select * from final
