-- Subscriptions end with the account: every one is cut at the first churn, and those that begin
-- later, a return, are left out. As they are, no account ever runs out of subscriptions.
with

subscription_rows as (select * from {{ source('ravenstack', 'subscriptions') }}),

churn_rows as (select * from {{ source('ravenstack', 'churn_events') }}),

first_churns as (
    select
        account_id,
        min(churn_date) as churn_date
    from churn_rows
    group by 1
),

ended as (
    select
        subscription_rows.*,
        first_churns.churn_date,
        first_churns.churn_date is not null
        and (
            subscription_rows.end_date is null
            or subscription_rows.end_date > first_churns.churn_date
        ) as is_cut
    from subscription_rows
    left join first_churns
        on subscription_rows.account_id = first_churns.account_id
    where
        first_churns.churn_date is null
        or subscription_rows.start_date < first_churns.churn_date
),

final as (
    select
        subscription_id,
        account_id,
        plan_tier as plan,
        seats,
        mrr_amount,
        'USD' as currency_code,
        cast(start_date as timestamp) as started_at,
        cast(case when is_cut then churn_date else end_date end as timestamp) as ended_at,
        cast(null as timestamp) as renews_at,
        cast(null as timestamp) as cancel_requested_at,
        case
            when is_trial then 'trialing'
            when is_cut or end_date is not null then 'cancelled'
            else 'active'
        end as status,
        case when billing_frequency = 'annual' then 12 else 1 end as billing_period_months,
        cast(start_date as timestamp) as updated_at,
        cast(null as timestamp) as loaded_at,
        case
            when subscription_id is null or account_id is null then 'null_key'
            when start_date is null or mrr_amount is null then 'missing_value'
        end as rejection_reason
    from ended
)

select * from final
