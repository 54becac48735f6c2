{# a table, since every list is read entry by entry and four models ask for it #}
{{ config(enabled=customer_health.is_connected('hubspot'), materialized='table') }}

with

companies as (
    {{ customer_health.vendor_rows('hubspot', 'company', [
        ['id', 'id', 'required'],
        ['merged_ids', 'label', 'optional', ['property_hs_merged_object_ids',
            'properties.hs_merged_object_ids']],
    ]) | indent(4) }}
),

former_ids as (
    {{ customer_health.listed_ids('companies', 'id', 'merged_ids') | indent(4) }}
),

-- a company that was merged away itself may still list what had been merged into it
final as (
    select
        former_ids.listed_id as former_id,
        min(former_ids.id) as company_id
    from former_ids
    left join former_ids as later_merges
        on former_ids.id = later_merges.listed_id
    where
        later_merges.listed_id is null
        and former_ids.listed_id <> former_ids.id
    group by 1
)

select * from final
