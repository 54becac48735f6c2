{{ config(enabled=customer_health.is_connected('hubspot')) }}

with

deals as (
    {{ customer_health.vendor_rows('hubspot', 'deal', [
        ['deal_id', 'id', 'required', ['deal_id', 'id']],
        ['opportunity_type', 'code', 'optional', ['property_dealtype', 'properties.dealtype']],
        ['stage_id', 'id', 'optional',
            ['deal_pipeline_stage_id', 'property_dealstage', 'properties.dealstage']],
        ['pipeline_id', 'id', 'optional',
            ['deal_pipeline_id', 'property_pipeline', 'properties.pipeline']],
        ['is_won', 'boolean', 'optional',
            ['property_hs_is_closed_won', 'properties.hs_is_closed_won']],
        ['is_closed', 'boolean', 'optional',
            ['property_hs_is_closed', 'properties.hs_is_closed']],
        ['amount', 'double', 'optional', ['property_amount', 'properties.amount']],
        ['currency_code', 'currency', 'optional',
            ['property_deal_currency_code', 'properties.deal_currency_code']],
        ['created_at', 'timestamp', 'required',
            ['property_createdate', 'properties.createdate', 'created_at', 'createdat']],
        ['closed_at', 'timestamp', 'optional', ['property_closedate', 'properties.closedate']],
    ], fills='crm_opportunities') | indent(4) }}
),

deal_companies as (
    {{ customer_health.vendor_rows('hubspot', 'deal_company', [
        ['deal_id', 'id', 'required'],
        ['company_id', 'id', 'required'],
        ['type_id', 'id', 'optional'],
    ]) | indent(4) }}
),

pipelines as (
    {{ customer_health.vendor_rows('hubspot', 'deal_pipeline', [
        ['pipeline_id', 'id', 'required'],
        ['label', 'code', 'optional'],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

stages as (
    {{ customer_health.vendor_rows('hubspot', 'deal_pipeline_stage', [
        ['stage_id', 'id', 'required'],
        ['closed_won', 'boolean', 'optional'],
        ['is_closed', 'boolean', 'optional'],
        ['probability', 'double', 'optional'],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

-- a deal counts for one account: its primary company (5 at HubSpot), else the lowest id
numbered_companies as (
    select
        deal_id,
        company_id as account_id,
        row_number() over (
            partition by deal_id
            order by case when type_id = '5' then 0 else 1 end, company_id
        ) as position
    from deal_companies
),

renewal_pipelines as (
    select distinct pipeline_id
    from pipelines
    where label like '%renew%'
),

stage_results as (
    select
        stage_id,
        {{ dbt.bool_or('closed_won') }} as is_won,
        {{ dbt.bool_or('coalesce(is_closed, probability in (0, 1))') }} as is_closed
    from stages
    group by 1
),

staged_deals as (
    select
        deals.deal_id,
        numbered_companies.account_id,
        case
            when renewal_pipelines.pipeline_id is not null then 'renewal'
            else {{ customer_health.opportunity_type('deals.opportunity_type') | indent(12) }}
        end as opportunity_type,
        case
            when coalesce(deals.is_won, stage_results.is_won, deals.stage_id = 'closedwon')
                then 'won'
            when coalesce(deals.is_closed, stage_results.is_closed, deals.stage_id = 'closedlost')
                then 'lost'
            else 'open'
        end as stage,
        deals.amount,
        deals.currency_code,
        deals.created_at,
        deals.closed_at,
        deals.loaded_at
    from deals
    inner join numbered_companies
        on
            deals.deal_id = numbered_companies.deal_id
            and numbered_companies.position = 1
    left join stage_results
        on deals.stage_id = stage_results.stage_id
    left join renewal_pipelines
        on deals.pipeline_id = renewal_pipelines.pipeline_id
),

final as (
    select
        deal_id as opportunity_id,
        account_id,
        opportunity_type,
        stage,
        amount,
        coalesce(currency_code, {{ customer_health.code_var('reporting_currency') }})
            as currency_code,
        -- a deal of the past that was entered later began when it was closed, at the latest
        case
            when
                stage <> 'open'
                and {{ customer_health.is_closed_early('created_at', 'closed_at') | indent(16) }}
                then closed_at
            else created_at
        end as created_at,
        case when stage <> 'open' then coalesce(closed_at, created_at) end as closed_at,
        loaded_at
    from staged_deals
)

select * from final
