{{ config(enabled=customer_health.is_connected('salesforce', 'crm_accounts')) }}

with

accounts as (
    {{ customer_health.vendor_rows('salesforce', 'account', [
        ['account_id', 'id', 'required', ['id']],
        ['account_name', 'text', 'required', ['name']],
        ['parent_account_id', 'id', 'optional', ['parent_id', 'parentid']],
        ['domain', 'label', 'optional', ['website']],
        ['segment', 'label', 'optional', ['segment_c', 'segment__c']],
        ['industry', 'label', 'optional'],
        ['region', 'label', 'optional', ['region_c', 'region__c', 'billing_country',
            'billingcountry']],
        ['plan', 'label', 'optional', ['plan_c', 'plan__c']],
        ['seats_licensed', 'integer', 'optional', ['seats_licensed_c', 'seats_c', 'seats__c']],
        ['csm_id', 'id', 'optional', ['csm_c', 'csm__c', 'owner_id', 'ownerid']],
        ['created_at', 'timestamp', 'optional', ['customer_since_c', 'customer_since__c']],
        ['trial_ends_at', 'timestamp', 'optional', ['trial_ends_at_c', 'trial_ends_at__c']],
        ['churned_at', 'timestamp', 'optional', ['churned_at_c', 'churn_date_c', 'churn_date__c']],
        ['churn_reason', 'code', 'optional', ['churn_reason_c', 'churn_reason__c']],
        ['merged_into_account_id', 'id', 'optional', ['master_record_id', 'masterrecordid']],
        ['review_cadence_days', 'integer', 'optional', ['review_cadence_days_c']],
        ['account_type', 'code', 'optional', ['type']],
        ['account_created_at', 'timestamp', 'required', ['created_date', 'createddate']],
        ['modified_at', 'timestamp', 'optional', ['system_modstamp', 'systemmodstamp',
            'last_modified_date', 'lastmodifieddate']],
    ], fills='crm_accounts', keep_deleted=true) | indent(4) }}
),

opportunities as (select * from {{ ref('con_health__salesforce__opportunities') }}),

won_opportunities as (
    select
        account_id,
        min(closed_at) as first_won_at
    from opportunities
    where stage = 'won'
    group by 1
),

-- a CRM is full of prospects, who have no health yet
customers as (
    select
        accounts.*,
        won_opportunities.first_won_at
    from accounts
    left join won_opportunities
        on accounts.account_id = won_opportunities.account_id
    where
        {{ customer_health.is_customer_stage('salesforce', 'accounts.account_type') | indent(8) }}
        or won_opportunities.account_id is not null
        or accounts.created_at is not null
        or accounts.trial_ends_at is not null
        or accounts.churned_at is not null
),

former_customers as (
    select
        merged_into_account_id as account_id,
        min(coalesce(created_at, first_won_at, account_created_at)) as created_at
    from customers
    where merged_into_account_id is not null
    group by 1
),

-- and an account is a customer, whatever it says of itself, once a customer was merged into it
masters as (
    select
        accounts.*,
        former_customers.created_at as first_won_at
    from accounts
    inner join former_customers
        on accounts.account_id = former_customers.account_id
    left join customers
        on accounts.account_id = customers.account_id
    where customers.account_id is null
),

all_customers as (
    select * from customers

    union all

    select * from masters
),

final as (
    select  -- noqa: ST06
        all_customers.account_id,
        all_customers.account_name,
        all_customers.parent_account_id,
        all_customers.domain,
        all_customers.segment,
        all_customers.industry,
        all_customers.region,
        all_customers.plan,
        all_customers.seats_licensed,
        all_customers.csm_id,
        coalesce(
            all_customers.created_at, all_customers.first_won_at, all_customers.account_created_at
        ) as created_at,
        all_customers.trial_ends_at,
        -- Salesforce keeps the account that was merged away, as deleted
        case
            when all_customers.merged_into_account_id is not null
                then coalesce(
                    all_customers.churned_at, all_customers.modified_at, all_customers.loaded_at
                )
            else all_customers.churned_at
        end as churned_at,
        case
            when all_customers.merged_into_account_id is not null then 'merged'
            else all_customers.churn_reason
        end as churn_reason,
        all_customers.merged_into_account_id,
        all_customers.is_deleted and all_customers.merged_into_account_id is null as is_deleted,
        all_customers.review_cadence_days,
        coalesce(all_customers.modified_at, all_customers.loaded_at) as updated_at,
        all_customers.loaded_at
    from all_customers
)

select * from final
