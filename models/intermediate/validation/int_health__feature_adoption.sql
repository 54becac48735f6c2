-- Which features the compared accounts used in the window before their date: one row per account,
-- outcome and feature used. An event that no feature names stands for itself.
with

feature_accounts as (select * from {{ ref('int_health__feature_accounts') }}),

usage_account_days as (select * from {{ ref('int_health__usage_account_days') }}),

product_features as (select * from {{ ref('int_health__valid_product_features') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

event_features as (
    select
        event_name,
        min(feature_key) as feature_key
    from product_features
    group by 1
),

-- the days that matter, before the large table is joined
windows as (
    select
        feature_accounts.account_id,
        feature_accounts.outcome,
        feature_accounts.plan,
        feature_accounts.has_outcome,
        feature_accounts.as_of_date as to_date,
        {{ customer_health.add_days('feature_accounts.as_of_date', '-1 * limits.adoption_days') }}
            as from_date
    from feature_accounts
    cross join limits
),

final as (
    select distinct
        windows.account_id,
        windows.outcome,
        windows.plan,
        windows.has_outcome,
        coalesce(event_features.feature_key, usage_account_days.event_name) as feature_key
    from usage_account_days
    inner join windows
        on
            usage_account_days.account_id = windows.account_id
            and usage_account_days.usage_date >= windows.from_date
            and usage_account_days.usage_date < windows.to_date
    left join event_features
        on usage_account_days.event_name = event_features.event_name
    where usage_account_days.event_count > 0
)

select * from final
