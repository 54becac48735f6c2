-- Each observation in each window whose outcome is known, with what happened in it. Left out:
-- windows that are not over, accounts that had gone before the window or were in notice already,
-- and churn that nobody chose (bankruptcy, merger).
with

observations as (select * from {{ ref('val_health__observations') }}),

outcomes as (select * from {{ ref('int_health__outcomes') }}),

validation_windows as (select * from {{ ref('validation_windows') }}),

account_dates as (
    select distinct
        account_id,
        as_of_date
    from observations
),

-- renewals and changes of a contract may come again and again: one before the window does not hide
-- one inside it, as the first churn does
dated_outcomes as (
    select
        account_dates.account_id,
        account_dates.as_of_date,
        outcomes.outcome,
        {{ customer_health.days_between('account_dates.as_of_date', 'outcomes.outcome_date') }}
            as outcome_days
    from account_dates
    inner join outcomes
        on
            account_dates.account_id = outcomes.account_id
            and account_dates.as_of_date <= outcomes.outcome_date
    where outcomes.outcome <> 'churn'
),

window_outcomes as (
    select
        dated_outcomes.account_id,
        dated_outcomes.as_of_date,
        validation_windows.lead_days,
        validation_windows.horizon_days,
        max(case when dated_outcomes.outcome = 'contraction' then 1 else 0 end) as is_contracted,
        max(case when dated_outcomes.outcome = 'renewal' then 1 else 0 end) as is_renewed,
        max(case when dated_outcomes.outcome = 'expansion' then 1 else 0 end) as is_expanded
    from dated_outcomes
    inner join validation_windows
        on
            dated_outcomes.outcome_days >= validation_windows.lead_days
            and dated_outcomes.outcome_days
            < validation_windows.lead_days + validation_windows.horizon_days
    group by 1, 2, 3, 4
),

in_windows as (
    select
        observations.*,
        validation_windows.lead_days,
        validation_windows.horizon_days,
        validation_windows.is_headline,
        validation_windows.lead_days + validation_windows.horizon_days as window_end_days
    from observations
    cross join validation_windows
),

eligible as (
    select
        *,
        case when days_to_churn < window_end_days then 1 else 0 end as is_churned
    from in_windows
    where
        {{ customer_health.is_counted_in_window() | indent(8) }}
),

final as (
    select
        eligible.account_id,
        eligible.as_of_date,
        eligible.scoring_version,
        eligible.scorecard_key,
        eligible.lead_days,
        eligible.horizon_days,
        eligible.is_headline,
        eligible.is_in_force,
        eligible.is_out_of_time,
        eligible.segment,
        eligible.plan,
        eligible.arr_amount,
        eligible.health_score,
        eligible.health_score_exact,
        eligible.score_without_churn_risk,
        eligible.raw_band,
        eligible.band,
        eligible.band_rank,
        eligible.churn_probability,
        eligible.is_churned,
        coalesce(window_outcomes.is_contracted, 0) as is_contracted,
        coalesce(window_outcomes.is_renewed, 0) as is_renewed,
        coalesce(window_outcomes.is_expanded, 0) as is_expanded
    from eligible
    left join window_outcomes
        on
            eligible.account_id = window_outcomes.account_id
            and eligible.as_of_date = window_outcomes.as_of_date
            and eligible.lead_days = window_outcomes.lead_days
            and eligible.horizon_days = window_outcomes.horizon_days
)

select * from final
