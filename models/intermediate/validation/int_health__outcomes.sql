-- What became of accounts, by the day on which it took effect; only what is known for good by
-- as_of: until the grace for late renewals is over nobody knows whether an end is a churn.

with

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

account_periods as (select * from {{ ref('int_health__account_periods') }}),

subscriptions as (select * from {{ ref('int_health__valid_billing_subscriptions') }}),

paid_terms as (
    select
        subscription_id,
        account_id,
        currency_code,
        mrr_amount,
        cast(started_at as date) as started_on,
        cast(ended_at as date) as ended_on
    from subscriptions
    where
        status <> 'trialing'
        and (ended_at is null or ended_at >= started_at)
),

churns as (
    select
        account_periods.account_id,
        'churn' as outcome,
        account_periods.ends_on as outcome_date,
        account_periods.cancel_requested_on as notice_date,
        coalesce(accounts.churn_reason in ('involuntary', 'merged'), false) as is_involuntary
    from account_periods
    inner join accounts
        on account_periods.account_id = accounts.account_id
    where account_periods.is_churn
),

-- an account whose paid term ended inside a period that went on has renewed
renewals as (
    select distinct
        paid_terms.account_id,
        'renewal' as outcome,
        paid_terms.ended_on as outcome_date,
        cast(null as date) as notice_date,
        false as is_involuntary
    from paid_terms
    inner join account_periods
        on
            paid_terms.account_id = account_periods.account_id
            and paid_terms.ended_on >= account_periods.starts_on
            and (account_periods.ends_on is null or paid_terms.ended_on < account_periods.ends_on)
),

-- in the currency of the contract: a rate that moves is no expansion
mrr_steps as (
    select
        account_id,
        currency_code,
        started_on as step_date,
        mrr_amount
    from paid_terms

    union all

    select
        account_id,
        currency_code,
        ended_on as step_date,
        -1 * mrr_amount as mrr_amount
    from paid_terms
    where ended_on is not null
),

mrr_changes as (
    select
        account_id,
        currency_code,
        step_date,
        {{ customer_health.exact_sum('mrr_amount') }} as mrr_change
    from mrr_steps
    group by 1, 2, 3
),

mrr_levels as (
    select
        *,
        sum(mrr_change) over (
            partition by account_id, currency_code
            order by step_date
            rows between unbounded preceding and current row
        ) as mrr_amount
    from mrr_changes
),

-- a level of 0 before or after is a beginning or an end, and no change of a contract; between two
-- terms that do not meet the level is 0 for a while, and what it was before counts
carried_levels as (
    select
        account_id,
        currency_code,
        step_date,
        mrr_amount,
        lag(mrr_amount) over (
            partition by account_id, currency_code
            order by step_date
        ) as earlier_mrr_amount
    from mrr_levels
    where mrr_amount > 0
),

changes_of_contract as (
    select distinct
        carried_levels.account_id,
        case
            when carried_levels.mrr_amount > carried_levels.earlier_mrr_amount then 'expansion'
            else 'contraction'
        end as outcome,
        carried_levels.step_date as outcome_date,
        cast(null as date) as notice_date,
        false as is_involuntary
    from carried_levels
    inner join account_periods
        on
            carried_levels.account_id = account_periods.account_id
            and carried_levels.step_date > account_periods.starts_on
            and (
                account_periods.ends_on is null
                or carried_levels.step_date < account_periods.ends_on
            )
    where carried_levels.mrr_amount <> carried_levels.earlier_mrr_amount
),

outcomes as (
    select * from churns
    union all
    select * from renewals
    union all
    select * from changes_of_contract
),

final as (
    select
        account_id,
        outcome,
        outcome_date,
        notice_date,
        is_involuntary
    from outcomes
    where outcome_date < {{ customer_health.outcomes_known_before() }}
)

select * from final
