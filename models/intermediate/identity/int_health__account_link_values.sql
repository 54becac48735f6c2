{{ config(materialized='table') }}
{% set vendors = customer_health.mapped_vendors() %}
{% set crm_vendor = customer_health.connected_vendor('crm') %}
{% set linked_vendors = ([crm_vendor] if crm_vendor else []) + vendors %}

with

crm_accounts as (select * from {{ ref('stg_health__crm_accounts') }}),

free_mail_domains as (select * from {{ ref('free_mail_domains') }}),

{% for vendor in linked_vendors %}
links_{{ vendor }} as (select * from {{ ref('con_health__' ~ vendor ~ '__account_links') }}),

{% endfor %}
link_rows as (
    select
        'crm' as source_system,
        account_id as source_account_id,
        'external_id' as link_method,
        account_id as link_value
    from crm_accounts
    where rejection_reason is null

    union all

    select
        'crm' as source_system,
        account_id as source_account_id,
        'domain' as link_method,
        domain as link_value
    from crm_accounts
    where
        rejection_reason is null
        -- a duplicate that was deleted says nothing against the account that stayed
        and not coalesce(is_deleted, false)

    {% for vendor in linked_vendors %}
    union all

    select
        '{{ 'crm' if vendor == crm_vendor else vendor }}' as source_system,
        source_account_id,
        link_method,
        link_value
    from links_{{ vendor }}
    where source_account_id is not null

    {% endfor %}
),

compared_links as (
    select distinct
        source_system,
        source_account_id,
        link_method,
        case
            when link_method = 'domain' then {{ customer_health.web_domain('link_value') }}
            else lower(link_value)
        end as link_value
    from link_rows
),

final as (
    select
        compared_links.source_system,
        compared_links.source_account_id,
        compared_links.link_method,
        compared_links.link_value,
        free_mail_domains.domain is not null as is_public_domain
    from compared_links
    left join free_mail_domains
        on
            compared_links.link_value = free_mail_domains.domain
            and compared_links.link_method = 'domain'
)

select * from final
