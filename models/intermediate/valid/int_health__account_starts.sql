-- A trial may begin before the day since which an account counts as a customer, and its use counts.
{{ config(materialized='table') }}

with

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked_subscriptions as (select * from {{ ref('int_health__checked_billing_subscriptions') }}),

-- a price that cannot be used says nothing against the date
first_subscriptions as (
    select
        account_id,
        min(started_at) as started_at
    from checked_subscriptions
    where
        rejection_reason is null
        or rejection_reason in ('negative_amount', 'missing_rate', 'out_of_range')
    group by 1
),

final as (
    select
        valid_accounts.account_id,
        cast(
            least(
                valid_accounts.created_at,
                coalesce(valid_accounts.trial_ends_at, valid_accounts.created_at),
                coalesce(first_subscriptions.started_at, valid_accounts.created_at)
            ) as date
        ) as started_on
    from valid_accounts
    left join first_subscriptions
        on valid_accounts.account_id = first_subscriptions.account_id
)

select * from final
