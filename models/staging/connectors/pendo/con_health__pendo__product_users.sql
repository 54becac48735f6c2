{{ config(enabled=customer_health.is_connected('pendo', 'product_users')) }}

with

visitors as (select * from {{ ref('con_health__pendo__visitors') }}),

final as (
    select
        user_id,
        account_id,
        role,
        created_at,
        deactivated_at,
        loaded_at
    from visitors
)

select * from final
