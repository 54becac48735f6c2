with

subscription_rows as (select * from {{ source('crm_simulation', 'subscription') }}),

-- One row per account and term. The plan is the row of the seats; the two add-ons, the same for
-- everybody, say nothing about an account and are left out of its MRR.
terms as (
    select
        account_id,
        start_date,
        max(case when units = 'users' then product end) as product,
        max(case when units = 'users' then quantity end) as seats,
        max(case when units = 'users' then mrr end) as mrr_amount,
        max(case when units = 'users' then bill_period_months end) as billing_period_months,
        -- a churn in mid-term shortens only the last row of the term
        min(end_date) as end_date
    from subscription_rows
    group by 1, 2
),

final as (
    select
        account_id || '-' || cast(start_date as varchar) as subscription_id,
        account_id,
        {{ dbt.split_part('product', "'_'", 1) }} as plan,
        seats,
        mrr_amount,
        'USD' as currency_code,
        cast(start_date as timestamp) as started_at,
        cast(end_date as timestamp) as ended_at,
        -- not the end date: where that is earlier, it knows of the churn to come
        cast({{ dbt.dateadd('month', 'billing_period_months', 'start_date') }} as timestamp)
            as renews_at,
        cast(null as timestamp) as cancel_requested_at,
        'active' as status,
        billing_period_months,
        cast(start_date as timestamp) as updated_at,
        cast(null as timestamp) as loaded_at,
        case
            when account_id is null or start_date is null then 'null_key'
            when mrr_amount is null then 'missing_value'
        end as rejection_reason
    from terms
)

select * from final
