{{ config(materialized='view') }}

with

accounts as (select * from {{ ref('dim_health__accounts') }}),

final as (
    select
        account_id,
        parent_account_id,
        segment,
        industry,
        region,
        plan,
        csm_id,
        lifecycle_stage,
        churn_date,
        {{ customer_health.publication_id() }} as publication_id
    from accounts
)

select * from final
