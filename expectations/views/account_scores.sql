-- One row per account scored at as_of_date. band_movement compares with the account's row on the
-- date before, where the same version scored both: a new version moves bands on purpose. It is
-- null where there is nothing to compare, and where too few accounts make a share meaningless.
with

earlier_dates as (
    select max(scores.as_of_date) as as_of_date
    from fct_health__account_scores as scores
    cross join gate_run
    where scores.as_of_date < gate_run.as_of_date
),

earlier as (
    select
        scores.account_id,
        scores.scoring_version,
        scores.band
    from fct_health__account_scores as scores
    inner join earlier_dates
        on scores.as_of_date = earlier_dates.as_of_date
),

current_scores as (
    select
        scores.*,
        count(*) over () as account_count
    from fct_health__account_scores as scores
    inner join gate_run
        on scores.as_of_date = gate_run.as_of_date
),

final as (
    select
        current_scores.account_id as row_key,
        current_scores.account_id,
        current_scores.scoring_version,
        current_scores.scorecard_key,
        current_scores.health_score,
        current_scores.health_score_exact,
        current_scores.score_low,
        current_scores.score_high,
        current_scores.coverage,
        current_scores.churn_probability,
        current_scores.band,
        current_scores.band_reason,
        case
            when current_scores.account_count < gate_run.least_accounts_for_shares then null
            when earlier.band is null then null
            when earlier.band = current_scores.band then 'same'
            else 'changed'
        end as band_movement
    from current_scores
    cross join gate_run
    left join earlier
        on
            current_scores.account_id = earlier.account_id
            and current_scores.scoring_version = earlier.scoring_version
)

select * from final
