-- Every health score of every version on the first Sunday of a month: what is looked back on.

with

account_scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where {{ customer_health.is_first_sunday('as_of_date') }}
),

scorecard_scores as (
    select *
    from {{ ref('fct_health__scorecard_scores') }}
    where
        purpose = 'health'
        and {{ customer_health.is_first_sunday('as_of_date') }}
),

in_force as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        true as is_in_force,
        health_score,
        health_score_exact,
        score_without_churn_risk,
        raw_band,
        band,
        band_rank,
        churn_probability,
        coverage
    from account_scores
),

beside as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        false as is_in_force,
        health_score,
        health_score_exact,
        score_without_churn_risk,
        raw_band,
        band,
        band_rank,
        churn_probability,
        coverage
    from scorecard_scores
),

scores as (
    select * from in_force
    union all
    select * from beside
),

final as (
    select  -- noqa: ST06
        scores.account_id,
        scores.as_of_date,
        scores.scoring_version,
        scores.scorecard_key,
        scores.is_in_force,
        coalesce(account_scores.segment, '(none)') as segment,
        coalesce(account_scores.plan, '(none)') as plan,
        account_scores.lifecycle_stage,
        account_scores.tenure_days,
        coalesce(account_scores.arr_amount, 0) as arr_amount,
        scores.health_score,
        scores.health_score_exact,
        scores.score_without_churn_risk,
        scores.raw_band,
        scores.band,
        scores.band_rank,
        scores.churn_probability,
        scores.coverage
    from scores
    inner join account_scores
        on
            scores.account_id = account_scores.account_id
            and scores.as_of_date = account_scores.as_of_date
)

select * from final
