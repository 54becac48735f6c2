-- What the score said of each account that chose to leave. Scores of the time after the notice are
-- no warning: by then it was known.
{% set fall_days = 28 %}

with

outcomes as (
    select *
    from {{ ref('int_health__outcomes') }}
    where outcome = 'churn' and not is_involuntary
),

score_history as (select * from {{ ref('int_health__score_history') }}),

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

churns as (
    select
        account_id,
        outcome_date as churn_date,
        min(notice_date) as notice_date
    from outcomes
    group by 1, 2
),

before_churn as (
    select
        churns.account_id,
        churns.churn_date,
        churns.notice_date,
        score_history.scoring_version,
        score_history.scorecard_key,
        score_history.as_of_date,
        {{ customer_health.days_between('score_history.as_of_date', 'churns.churn_date') }}
            as days_before,
        score_history.health_score_exact,
        score_history.band,
        score_history.band in ('critical', 'at_risk') as is_below_healthy,
        score_history.band_rank is not null
        and coalesce(score_history.as_of_date <= churns.notice_date, true) as is_judged
    from churns
    inner join score_history
        on
            churns.account_id = score_history.account_id
            and churns.churn_date > score_history.as_of_date
),

last_dates as (
    select
        account_id,
        churn_date,
        scoring_version,
        max(as_of_date) as as_of_date,
        max(case when is_judged and not is_below_healthy then as_of_date end) as last_sound_date,
        min(case when is_judged then as_of_date end) as first_judged_date
    from before_churn
    group by 1, 2, 3
),

-- only versions that scored the account shortly before it left have something to answer for; the
-- scorecard is the last one
spoken as (
    select
        before_churn.account_id,
        before_churn.churn_date,
        before_churn.notice_date,
        before_churn.scoring_version,
        before_churn.scorecard_key,
        last_dates.last_sound_date,
        last_dates.first_judged_date
    from last_dates
    inner join before_churn
        on
            last_dates.account_id = before_churn.account_id
            and last_dates.churn_date = before_churn.churn_date
            and last_dates.scoring_version = before_churn.scoring_version
            and last_dates.as_of_date = before_churn.as_of_date
    cross join limits
    where before_churn.days_before <= limits.false_green_from_days
),

judged as (
    select *
    from before_churn
    where is_judged
),

with_falls as (
    select
        judged.*,
        coalesce({{ customer_health.round_score(
            'earlier.health_score_exact - judged.health_score_exact'
        ) }} >= limits.warning_fall_points, false) as is_fallen
    from judged
    cross join limits
    left join judged as earlier
        on
            judged.account_id = earlier.account_id
            and judged.churn_date = earlier.churn_date
            and judged.scoring_version = earlier.scoring_version
            and {{ customer_health.add_days('judged.as_of_date', -1 * fall_days) }}
            = earlier.as_of_date
),

with_earlier_falls as (
    select
        *,
        lag(is_fallen) over (
            partition by account_id, churn_date, scoring_version
            order by as_of_date
        ) as was_fallen
    from with_falls
),

marked as (
    select
        with_earlier_falls.*,
        with_earlier_falls.days_before
        between limits.false_green_to_days and limits.false_green_from_days as is_false_green_date,
        with_earlier_falls.is_fallen
        and not coalesce(with_earlier_falls.was_fallen, false)
        and with_earlier_falls.days_before <= limits.warning_within_days as is_new_fall
    from with_earlier_falls
    cross join limits
),

numbered as (
    select
        *,
        row_number() over (
            partition by account_id, churn_date, scoring_version, is_false_green_date
            order by as_of_date desc
        ) as date_rank
    from marked
),

warnings as (
    select
        spoken.account_id,
        spoken.churn_date,
        spoken.notice_date,
        spoken.scoring_version,
        spoken.scorecard_key,
        spoken.first_judged_date,
        max(case
            when numbered.is_false_green_date and numbered.date_rank = 1
                then numbered.health_score_exact
        end) as score_before,
        max(case
            when numbered.is_false_green_date and numbered.date_rank = 1 then numbered.band
        end) as band_before,
        min(case
            when
                numbered.is_below_healthy
                and coalesce(numbered.as_of_date > spoken.last_sound_date, true)
                then numbered.as_of_date
        end) as below_date,
        max(case when numbered.is_new_fall then numbered.as_of_date end) as fall_date
    from spoken
    left join numbered
        on
            spoken.account_id = numbered.account_id
            and spoken.churn_date = numbered.churn_date
            and spoken.scoring_version = numbered.scoring_version
    group by 1, 2, 3, 4, 5, 6
),

-- whom we lost, as the account was shown last
last_shown as (
    select
        churns.account_id,
        churns.churn_date,
        max(account_scores.as_of_date) as as_of_date
    from churns
    inner join account_scores
        on
            churns.account_id = account_scores.account_id
            and churns.churn_date > account_scores.as_of_date
    group by 1, 2
),

facts as (
    select
        last_shown.account_id,
        last_shown.churn_date,
        account_scores.segment,
        account_scores.plan,
        account_scores.arr_amount
    from last_shown
    inner join account_scores
        on
            last_shown.account_id = account_scores.account_id
            and last_shown.as_of_date = account_scores.as_of_date
),

final as (
    select
        warnings.account_id,
        warnings.scoring_version,
        warnings.scorecard_key,
        warnings.churn_date,
        warnings.notice_date,
        coalesce(facts.segment, '(none)') as segment,
        coalesce(facts.plan, '(none)') as plan,
        coalesce(facts.arr_amount, 0) as arr_amount,
        warnings.score_before,
        warnings.band_before,
        warnings.band_before not in ('critical', 'at_risk') as is_false_green,
        coalesce(warnings.below_date, warnings.fall_date) as first_warning_date,
        case
            when warnings.below_date is not null then 'below_healthy'
            when warnings.fall_date is not null then 'fall'
            else 'none'
        end as warning_kind,
        coalesce(warnings.below_date = warnings.first_judged_date, false) as is_lead_open,
        {{ customer_health.days_between(
            'coalesce(warnings.below_date, warnings.fall_date)', 'warnings.churn_date'
        ) }} as lead_days,
        {{ customer_health.days_between(
            'coalesce(warnings.below_date, warnings.fall_date)',
            'least(coalesce(warnings.notice_date, warnings.churn_date), warnings.churn_date)'
        ) }} as lead_to_notice_days
    from warnings
    left join facts
        on
            warnings.account_id = facts.account_id
            and warnings.churn_date = facts.churn_date
)

select * from final
