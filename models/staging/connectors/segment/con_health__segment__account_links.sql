{{ config(enabled=customer_health.is_connected('segment')) }}

with

user_accounts as (select * from {{ ref('con_health__segment__user_accounts') }}),

groups as (
    {{ customer_health.vendor_rows('segment', 'groups', [
        ['group_id', 'id', 'required'],
        ['external_id', 'id', 'optional', customer_health.link_columns('segment', ['group_id'])],
        ['website', 'label', 'optional', ['website', 'domain']],
    ], may_lack=true) | indent(4) }}
),

-- the id of a group is ours to choose, and often is that of the CRM
final as (
    {{ customer_health.account_links([
        ['groups', 'group_id', 'external_id', 'external_id'],
        ['groups', 'group_id', 'domain', 'website'],
        ['user_accounts', 'account_id', 'external_id', 'account_id'],
        ['user_accounts', 'account_id', 'domain', 'domain'],
    ]) | indent(4) }}
)

select * from final
