-- What every score of the past was followed by. All figures of this folder are counted from here.
with

monthly_scores as (select * from {{ ref('int_health__monthly_scores') }}),

outcomes as (select * from {{ ref('int_health__outcomes') }}),

account_periods as (select * from {{ ref('int_health__account_periods') }}),

scoring_versions as (select * from {{ ref('scoring_versions') }}),

account_dates as (
    select distinct
        account_id,
        as_of_date
    from monthly_scores
),

-- the first outcome of each kind from the date on
next_outcomes as (
    select
        account_dates.account_id,
        account_dates.as_of_date,
        min(case when outcomes.outcome = 'churn' then outcomes.outcome_date end) as churn_date,
        min(case when outcomes.outcome = 'contraction' then outcomes.outcome_date end)
            as contraction_date,
        min(case when outcomes.outcome = 'renewal' then outcomes.outcome_date end) as renewal_date,
        min(case when outcomes.outcome = 'expansion' then outcomes.outcome_date end)
            as expansion_date
    from account_dates
    inner join outcomes
        on
            account_dates.account_id = outcomes.account_id
            and account_dates.as_of_date <= outcomes.outcome_date
    group by 1, 2
),

churns as (
    select
        account_id,
        outcome_date,
        {{ dbt.bool_or('is_involuntary') }} as is_involuntary
    from outcomes
    where outcome = 'churn'
    group by 1, 2
),

-- the end is known once the cancellation has been handed in, also where it lies beyond what is
-- known otherwise; and a score of the days of grace after an end that was a churn looks back on it
in_notice as (
    select distinct
        account_dates.account_id,
        account_dates.as_of_date
    from account_dates
    inner join account_periods
        on account_dates.account_id = account_periods.account_id
    where
        (
            account_dates.as_of_date > account_periods.cancel_requested_on
            and account_dates.as_of_date <= account_periods.ends_on
        )
        or (
            account_periods.is_churn
            and account_dates.as_of_date > account_periods.ends_on
            and account_dates.as_of_date <= account_periods.end_known_on
        )
),

followed as (
    select
        monthly_scores.*,
        {{ customer_health.days_between(
            'monthly_scores.as_of_date', customer_health.as_of_date()
        ) }} - {{ customer_health.integer_var('renewal_grace_days') }} as follow_up_days,
        next_outcomes.churn_date,
        {{ customer_health.days_between('monthly_scores.as_of_date', 'next_outcomes.churn_date') }}
            as days_to_churn,
        {{ customer_health.days_between(
            'monthly_scores.as_of_date', 'next_outcomes.contraction_date'
        ) }} as days_to_contraction,
        {{ customer_health.days_between(
            'monthly_scores.as_of_date', 'next_outcomes.renewal_date'
        ) }} as days_to_renewal,
        {{ customer_health.days_between(
            'monthly_scores.as_of_date', 'next_outcomes.expansion_date'
        ) }} as days_to_expansion,
        coalesce(churns.is_involuntary, false) as is_involuntary,
        in_notice.account_id is not null as is_in_notice,
        coalesce(monthly_scores.as_of_date >= scoring_versions.fitted_to, true) as is_out_of_time
    from monthly_scores
    inner join scoring_versions
        on monthly_scores.scoring_version = scoring_versions.scoring_version
    left join next_outcomes
        on
            monthly_scores.account_id = next_outcomes.account_id
            and monthly_scores.as_of_date = next_outcomes.as_of_date
    left join churns
        on
            next_outcomes.account_id = churns.account_id
            and next_outcomes.churn_date = churns.outcome_date
    left join in_notice
        on
            monthly_scores.account_id = in_notice.account_id
            and monthly_scores.as_of_date = in_notice.as_of_date
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        is_in_force,
        is_out_of_time,
        segment,
        plan,
        lifecycle_stage,
        tenure_days,
        arr_amount,
        health_score,
        health_score_exact,
        score_without_churn_risk,
        raw_band,
        band,
        band_rank,
        churn_probability,
        follow_up_days,
        churn_date,
        days_to_churn,
        days_to_contraction,
        days_to_renewal,
        days_to_expansion,
        is_involuntary,
        is_in_notice
    from followed
    where follow_up_days > 0
)

select * from final
