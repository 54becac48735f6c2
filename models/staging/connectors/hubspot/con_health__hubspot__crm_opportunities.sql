{{ config(enabled=customer_health.is_connected('hubspot', 'crm_opportunities')) }}

with

accounts as (select * from {{ ref('con_health__hubspot__crm_accounts') }}),

deals as (select * from {{ ref('con_health__hubspot__deals') }}),

-- deals of prospects are no customer's
final as (
    select
        deals.opportunity_id,
        deals.account_id,
        deals.opportunity_type,
        deals.stage,
        deals.amount,
        deals.currency_code,
        deals.created_at,
        deals.closed_at,
        deals.loaded_at
    from deals
    inner join accounts
        on deals.account_id = accounts.account_id
)

select * from final
