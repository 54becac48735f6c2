{{ config(enabled=customer_health.is_connected('zendesk')) }}

with

organizations as (
    {{ customer_health.vendor_rows('zendesk', 'organization', [
        ['id', 'id', 'required'],
        ['external_id', 'id', 'optional', customer_health.link_columns('zendesk', ['external_id'])],
    ]) | indent(4) }}
),

domain_names as (
    {{ customer_health.vendor_rows('zendesk', 'domain_name', [
        ['organization_id', 'id', 'required'],
        ['domain_name', 'label', 'required'],
    ], may_lack=true) | indent(4) }}
),

users as (select * from {{ ref('con_health__zendesk__users') }}),

customers as (
    select
        {{ customer_health.account_key('organization_id', 'email') }} as account_key,
        {{ customer_health.email_domain('email') }} as domain
    from users
    where role is null or role = 'end-user'
),

final as (
    {{ customer_health.account_links([
        ['organizations', 'id', 'external_id', 'external_id'],
        ['domain_names', 'organization_id', 'domain', 'domain_name'],
        ['customers', 'account_key', 'domain', 'domain'],
    ]) | indent(4) }}
)

select * from final
