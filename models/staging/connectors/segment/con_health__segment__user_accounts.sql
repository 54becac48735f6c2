{{ config(enabled=customer_health.is_connected('segment')) }}

with

users as (
    {{ customer_health.vendor_rows('segment', 'users', [
        ['id', 'id', 'required', ['id', 'user_id']],
        ['account_id', 'id', 'optional', ['account_id', 'company_id', 'group_id']],
        ['email', 'label', 'optional'],
        ['role', 'label', 'optional'],
        ['created_at', 'timestamp', 'required', ['created_at', 'received_at']],
        ['deactivated_at', 'timestamp', 'optional'],
    ], fills='product_users') | indent(4) }}
),

groups as (
    {{ customer_health.vendor_rows('segment', 'groups', [
        ['user_id', 'id', 'optional'],
        ['group_id', 'id', 'required'],
        ['received_at', 'timestamp', 'required'],
    ], may_lack=true) | indent(4) }}
),

numbered_groups as (
    select
        user_id,
        group_id,
        row_number() over (partition by user_id order by received_at desc, group_id asc) as position
    from groups
    where
        user_id is not null
        and group_id is not null
),

-- the newest group of a user
final as (
    select
        users.id as user_id,
        {{ customer_health.account_key(
            'coalesce(users.account_id, numbered_groups.group_id)', 'users.email'
        ) }} as account_id,
        users.role,
        users.created_at,
        users.deactivated_at,
        {{ customer_health.email_domain('users.email') }} as domain,
        users.loaded_at
    from users
    left join numbered_groups
        on
            users.id = numbered_groups.user_id
            and numbered_groups.position = 1
)

select * from final
