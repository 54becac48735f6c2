-- The churn is the first of churn_events. Later ones would be known only after a return of which the
-- files say no day, and churn_flag has no day at all.
with

account_rows as (select * from {{ source('ravenstack', 'accounts') }}),

churn_rows as (select * from {{ source('ravenstack', 'churn_events') }}),

first_churns as (
    select
        account_id,
        min(churn_date) as churn_date
    from churn_rows
    group by 1
),

final as (
    select
        account_rows.account_id,
        account_rows.account_name,
        cast(null as varchar) as parent_account_id,
        cast(null as varchar) as domain,
        account_rows.industry as segment,
        account_rows.industry,
        account_rows.country as region,
        account_rows.plan_tier as plan,
        account_rows.seats as seats_licensed,
        cast(null as varchar) as csm_id,
        cast(account_rows.signup_date as timestamp) as created_at,
        cast(null as timestamp) as trial_ends_at,
        cast(first_churns.churn_date as timestamp) as churned_at,
        cast(null as varchar) as churn_reason,
        cast(null as varchar) as merged_into_account_id,
        false as is_deleted,
        cast(null as bigint) as review_cadence_days,
        cast(coalesce(first_churns.churn_date, account_rows.signup_date) as timestamp)
            as updated_at,
        cast(null as timestamp) as loaded_at,
        case
            when account_rows.account_id is null then 'null_key'
            when account_rows.signup_date is null then 'missing_value'
        end as rejection_reason
    from account_rows
    left join first_churns
        on account_rows.account_id = first_churns.account_id
)

select * from final
