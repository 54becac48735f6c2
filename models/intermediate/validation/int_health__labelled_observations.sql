-- Each observation in each window whose outcome is known, with what happened in it. Left out: windows
-- that are not over, accounts that had gone before the window or were in notice already, and
-- churn that nobody chose (bankruptcy, merger).
with

observations as (select * from {{ ref('val_health__observations') }}),

validation_windows as (select * from {{ ref('validation_windows') }}),

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

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        is_in_force,
        is_out_of_time,
        segment,
        plan,
        arr_amount,
        health_score,
        health_score_exact,
        score_without_churn_risk,
        raw_band,
        band,
        band_rank,
        churn_probability,
        case when days_to_churn < window_end_days then 1 else 0 end as is_churned,
        case
            when
                days_to_contraction >= lead_days and days_to_contraction < window_end_days then 1
            else 0
        end as is_contracted,
        case when days_to_renewal >= lead_days and days_to_renewal < window_end_days then 1 else 0 end
            as is_renewed,
        case
            when days_to_expansion >= lead_days and days_to_expansion < window_end_days then 1
            else 0
        end as is_expanded
    from in_windows
    where
        follow_up_days >= window_end_days
        and not is_in_notice
        and coalesce(days_to_churn >= lead_days, true)
        and not (is_involuntary and days_to_churn < window_end_days)
)

select * from final
