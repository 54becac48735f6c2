{{ config(enabled=customer_health.is_connected('pendo')) }}

with

versions as (
    {{ customer_health.vendor_rows('pendo', 'visitor_history', [
        ['user_id', 'id', 'required', ['id']],
        ['account_id', 'id', 'optional'],
        ['email', 'label', 'optional', ['agent_email', 'metadata_agent_email', 'pendo_lastemail']],
        ['role', 'label', 'optional', ['agent_role', 'metadata_agent_role']],
        ['created_at', 'timestamp', 'required', ['first_visit', 'metadata_auto_firstvisit']],
        ['deactivated_at', 'timestamp', 'optional', []],
        ['last_updated_at', 'timestamp', 'optional'],
    ], fills='product_users') | indent(4) }}
),

numbered_versions as (
    select
        versions.*,
        row_number() over (
            partition by versions.user_id
            order by versions.last_updated_at desc nulls last, versions.account_id asc nulls last
        ) as position
    from versions
),

final as (
    select
        user_id,
        {{ customer_health.account_key('account_id', 'email') }} as account_id,
        role,
        created_at,
        deactivated_at,
        {{ customer_health.email_domain('email') }} as domain,
        loaded_at
    from numbered_versions
    where position = 1
)

select * from final
