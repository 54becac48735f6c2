{{ config(enabled=customer_health.is_connected('salesforce', 'crm_opportunities')) }}

with

accounts as (select * from {{ ref('con_health__salesforce__crm_accounts') }}),

opportunities as (select * from {{ ref('con_health__salesforce__opportunities') }}),

-- opportunities of prospects are no customer's
final as (
    select
        opportunities.opportunity_id,
        opportunities.account_id,
        opportunities.opportunity_type,
        opportunities.stage,
        opportunities.amount,
        opportunities.currency_code,
        opportunities.created_at,
        opportunities.closed_at,
        opportunities.loaded_at
    from opportunities
    inner join accounts
        on opportunities.account_id = accounts.account_id
)

select * from final
