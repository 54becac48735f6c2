{{ config(enabled=customer_health.is_connected('intercom')) }}

with

companies as (
    {{ customer_health.vendor_rows('intercom', 'company_history', [
        ['id', 'id', 'required'],
        ['external_id', 'id', 'optional', customer_health.link_columns('intercom', ['company_id'])],
        ['website', 'label', 'optional'],
        ['updated_at', 'timestamp', 'optional'],
    ], may_lack=true) | indent(4) }}
),

numbered_companies as (
    select
        id,
        external_id,
        website,
        row_number() over (
            partition by id order by updated_at desc nulls last, external_id asc
        ) as position
    from companies
),

newest_companies as (
    select
        id,
        external_id,
        website
    from numbered_companies
    where position = 1
),

contacts as (select * from {{ ref('con_health__intercom__contacts') }}),

final as (
    {{ customer_health.account_links([
        ['newest_companies', 'id', 'external_id', 'external_id'],
        ['newest_companies', 'id', 'domain', 'website'],
        ['contacts', 'account_key', 'domain', customer_health.email_domain('email')],
    ]) | indent(4) }}
)

select * from final
