{{ config(enabled=customer_health.is_connected('hubspot', 'crm_accounts')) }}

with

companies as (
    {{ customer_health.vendor_rows('hubspot', 'company', [
        ['account_id', 'id', 'required', ['id']],
        ['account_name', 'text', 'required', ['property_name', 'properties.name']],
        ['parent_account_id', 'id', 'optional',
            ['property_hs_parent_company_id', 'properties.hs_parent_company_id']],
        ['domain', 'label', 'optional', ['property_domain', 'properties.domain']],
        ['segment', 'label', 'optional', ['property_segment', 'properties.segment']],
        ['industry', 'label', 'optional', ['property_industry', 'properties.industry']],
        ['region', 'label', 'optional', ['property_region', 'property_country', 'properties.country']],
        ['plan', 'label', 'optional', ['property_plan', 'properties.plan']],
        ['seats_licensed', 'integer', 'optional', ['property_seats_licensed', 'property_seats']],
        ['csm_id', 'id', 'optional', ['property_csm', 'property_hubspot_owner_id',
            'properties.hubspot_owner_id']],
        ['created_at', 'timestamp', 'optional', ['property_customer_since']],
        ['trial_ends_at', 'timestamp', 'optional', ['property_trial_ends_at']],
        ['churned_at', 'timestamp', 'optional', ['property_churned_at', 'property_churn_date']],
        ['churn_reason', 'code', 'optional', ['property_churn_reason']],
        ['review_cadence_days', 'integer', 'optional', ['property_review_cadence_days']],
        ['lifecycle_stage', 'code', 'optional',
            ['property_lifecyclestage', 'properties.lifecyclestage']],
        ['customer_at', 'timestamp', 'optional', ['property_hs_lifecyclestage_customer_date',
            'property_hs_v_2_date_entered_customer', 'property_hs_date_entered_customer']],
        ['company_created_at', 'timestamp', 'required',
            ['property_createdate', 'properties.createdate', 'created_at', 'createdat']],
        ['modified_at', 'timestamp', 'optional',
            ['property_hs_lastmodifieddate', 'properties.hs_lastmodifieddate', 'updated_at']],
    ], fills='crm_accounts', keep_deleted=true) | indent(4) }}
),

former_companies as (select * from {{ ref('con_health__hubspot__former_companies') }}),

deals as (select * from {{ ref('con_health__hubspot__deals') }}),

won_deals as (
    select
        account_id,
        min(closed_at) as first_won_at
    from deals
    where stage = 'won'
    group by 1
),

-- a CRM is full of prospects, who have no health yet
final as (
    select  -- noqa: ST06
        companies.account_id,
        companies.account_name,
        companies.parent_account_id,
        companies.domain,
        companies.segment,
        companies.industry,
        companies.region,
        companies.plan,
        companies.seats_licensed,
        companies.csm_id,
        coalesce(
            companies.created_at,
            case
                when companies.customer_at < won_deals.first_won_at then companies.customer_at
                else won_deals.first_won_at
            end,
            companies.customer_at,
            companies.company_created_at
        ) as created_at,
        companies.trial_ends_at,
        -- HubSpot marks a company that was merged away as deleted
        case
            when former_companies.company_id is not null
                then coalesce(companies.churned_at, companies.modified_at, companies.loaded_at)
            else companies.churned_at
        end as churned_at,
        case
            when former_companies.company_id is not null then 'merged'
            else companies.churn_reason
        end as churn_reason,
        former_companies.company_id as merged_into_account_id,
        companies.is_deleted and former_companies.company_id is null as is_deleted,
        companies.review_cadence_days,
        coalesce(companies.modified_at, companies.loaded_at) as updated_at,
        companies.loaded_at
    from companies
    left join won_deals
        on companies.account_id = won_deals.account_id
    left join former_companies
        on companies.account_id = former_companies.former_id
    where
        {{ customer_health.is_customer_stage('hubspot', 'companies.lifecycle_stage') }}
        or won_deals.account_id is not null
        or companies.created_at is not null
        or companies.customer_at is not null
        or companies.trial_ends_at is not null
        or companies.churned_at is not null
)

select * from final
