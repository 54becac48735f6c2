with

account_rows as (select * from {{ source('crm_simulation', 'account') }}),

subscription_rows as (select * from {{ source('crm_simulation', 'subscription') }}),

plans as (
    select
        account_id,
        start_date,
        product,
        quantity
    from subscription_rows
    where units = 'users'
),

newest_starts as (
    select
        account_id,
        max(start_date) as start_date
    from plans
    group by 1
),

-- like a CRM, the account says which plan it has now, and no more
current_plans as (
    select
        plans.account_id,
        plans.start_date,
        plans.product,
        plans.quantity
    from newest_starts
    inner join plans
        on
            newest_starts.account_id = plans.account_id
            and newest_starts.start_date = plans.start_date
),

final as (
    select
        account_rows.account_id,
        'Account ' || account_rows.account_id as account_name,
        cast(null as varchar) as parent_account_id,
        cast(null as varchar) as domain,
        account_rows.channel as segment,
        cast(null as varchar) as industry,
        account_rows.country as region,
        {{ dbt.split_part('current_plans.product', "'_'", 1) }} as plan,
        current_plans.quantity as seats_licensed,
        cast(null as varchar) as csm_id,
        cast(account_rows.start_date as timestamp) as created_at,
        cast(null as timestamp) as trial_ends_at,
        cast(null as timestamp) as churned_at,
        cast(null as varchar) as churn_reason,
        cast(null as varchar) as merged_into_account_id,
        false as is_deleted,
        cast(null as bigint) as review_cadence_days,
        cast(coalesce(current_plans.start_date, account_rows.start_date) as timestamp) as updated_at,
        cast(null as timestamp) as loaded_at,
        case
            when account_rows.account_id is null then 'null_key'
            when account_rows.start_date is null then 'missing_value'
        end as rejection_reason
    from account_rows
    left join current_plans
        on account_rows.account_id = current_plans.account_id
)

select * from final
