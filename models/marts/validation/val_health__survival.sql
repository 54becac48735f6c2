-- How long accounts stay from the first month in which they are seen in a band: Kaplan and Meier
-- 1958. An account that nobody chose to end, or that is still there, is followed as far as it goes.
{% set milestones = [90, 180, 365] %}
{% set z = customer_health.normal_quantile_95() %}

with

observations as (select * from {{ ref('val_health__observations') }}),

-- within a curve an account counts once
starts as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        band,
        min(as_of_date) as as_of_date
    from observations
    where not is_in_notice
    group by 1, 2, 3, 4
),

followed as (
    select
        observations.scoring_version,
        observations.scorecard_key,
        observations.band,
        observations.band_rank,
        coalesce(observations.days_to_churn, observations.follow_up_days) as duration_days,
        case
            when observations.days_to_churn is not null and not observations.is_involuntary then 1
            else 0
        end as churn_count
    from starts
    inner join observations
        on
            starts.account_id = observations.account_id
            and starts.as_of_date = observations.as_of_date
            and starts.scoring_version = observations.scoring_version
            and starts.scorecard_key = observations.scorecard_key
),

curves as (
    select
        scoring_version,
        scorecard_key,
        band,
        max(band_rank) as band_rank,
        count(*) as account_count
    from followed
    group by 1, 2, 3
),

-- days that have a row also where nobody leaves
fixed_days as (
    select
        0 as duration_days,
        0 as is_milestone
    {% for days in milestones %}
    union all
    select
        {{ days }} as duration_days,
        1 as is_milestone
    {% endfor %}
),

exits as (
    select
        scoring_version,
        scorecard_key,
        band,
        duration_days,
        churn_count,
        1 as exit_count,
        0 as is_fixed,
        0 as is_milestone
    from followed

    union all

    select
        curves.scoring_version,
        curves.scorecard_key,
        curves.band,
        fixed_days.duration_days,
        0 as churn_count,
        0 as exit_count,
        1 as is_fixed,
        fixed_days.is_milestone
    from curves
    cross join fixed_days
),

days as (
    select
        scoring_version,
        scorecard_key,
        band,
        duration_days,
        sum(churn_count) as churn_count,
        sum(exit_count) as exit_count,
        max(is_fixed) as is_fixed,
        max(is_milestone) as is_milestone
    from exits
    group by 1, 2, 3, 4
),

at_risk as (
    select
        days.*,
        curves.band_rank,
        curves.account_count,
        curves.account_count - coalesce(sum(days.exit_count) over (
            partition by days.scoring_version, days.scorecard_key, days.band
            order by days.duration_days
            rows between unbounded preceding and 1 preceding
        ), 0) as at_risk_count
    from days
    inner join curves
        on
            days.scoring_version = curves.scoring_version
            and days.scorecard_key = curves.scorecard_key
            and days.band = curves.band
),

-- a day on which all that were left leave has no logarithm: the curve ends at 0
day_terms as (
    select
        *,
        case when churn_count > 0 and churn_count = at_risk_count then 1 else 0 end as is_end,
        case
            when churn_count < at_risk_count
                then ln(1 - {{ customer_health.safe_divide('churn_count', 'at_risk_count') }})
            else 0
        end as log_term,
        case
            when churn_count < at_risk_count
                then {{ customer_health.safe_divide(
                    'churn_count', 'at_risk_count * (at_risk_count - churn_count)'
                ) }}
            else 0
        end as variance_term
    from at_risk
),

running as (
    select
        *,
        max(is_end) over (
            partition by scoring_version, scorecard_key, band
            order by duration_days
            rows between unbounded preceding and current row
        ) as has_ended,
        sum(churn_count) over (
            partition by scoring_version, scorecard_key, band
            order by duration_days
            rows between unbounded preceding and current row
        ) as churns_so_far,
        sum(log_term) over (
            partition by scoring_version, scorecard_key, band
            order by duration_days
            rows between unbounded preceding and current row
        ) as log_survival,
        sum(variance_term) over (
            partition by scoring_version, scorecard_key, band
            order by duration_days
            rows between unbounded preceding and current row
        ) as variance
    from day_terms
),

-- the interval lies on the scale of log(-log(survival)), which keeps it between 0 and 1
bounds as (
    select
        *,
        case when has_ended = 1 then 0 else exp(log_survival) end as survival,
        case
            when has_ended = 0 and churns_so_far > 0
                then {{ z }} * sqrt(variance) / abs(log_survival)
        end as half_width,
        {{ customer_health.wilson_bound('at_risk_count', 'at_risk_count', 'low') }}
            as low_without_churn
    from running
),

final as (
    select
        scoring_version,
        scorecard_key,
        band,
        band_rank,
        cast(duration_days as bigint) as duration_days,
        is_milestone = 1 as is_milestone,
        cast(account_count as bigint) as account_count,
        cast(at_risk_count as bigint) as at_risk_count,
        cast(churn_count as bigint) as churn_count,
        {{ customer_health.round_score('survival') }} as survival,
        {{ customer_health.round_score(
            'case when duration_days = 0 and churns_so_far = 0 then 1'
            ~ ' when churns_so_far = 0 then low_without_churn'
            ~ ' when has_ended = 0 then exp(-1 * exp(ln(abs(log_survival)) + half_width)) end'
        ) }} as survival_low,
        {{ customer_health.round_score(
            'case when churns_so_far = 0 then 1'
            ~ ' when has_ended = 0 then exp(-1 * exp(ln(abs(log_survival)) - half_width)) end'
        ) }} as survival_high
    from bounds
    where
        at_risk_count > 0
        and (churn_count > 0 or is_fixed = 1)
)

select * from final
