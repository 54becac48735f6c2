-- Whether the probabilities of churn are right as numbers, not only in their order.
with

probability_counts as (select * from {{ ref('int_health__probability_counts') }}),

calibration_fits as (select * from {{ ref('int_health__calibration_fits') }}),

labelled_observations as (
    select *
    from {{ ref('int_health__labelled_observations') }}
    where lead_days = 0 and churn_probability is not null
),

score_history as (select * from {{ ref('int_health__score_history') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

sums as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        sum(observation_count) as observation_count,
        sum(churned_observation_count) as churned_observation_count,
        {{ customer_health.exact_sum('observation_count * churn_probability') }} as probability_sum,
        {{ customer_health.exact_sum(
            '(observation_count - churned_observation_count)'
            ~ ' * churn_probability * churn_probability'
            ~ ' + churned_observation_count * (1 - churn_probability) * (1 - churn_probability)'
        ) }} as squared_error_sum
    from probability_counts
    group by 1, 2, 3, 4, 5, 6, 7
),

-- accounts are counted once in a slice, and the method is that of its dates
accounts as (
    select
        labelled_observations.account_id,
        labelled_observations.scoring_version,
        labelled_observations.scorecard_key,
        labelled_observations.horizon_days,
        case when labelled_observations.is_out_of_time then 'out_of_time' else 'fitted' end
            as period,
        max(labelled_observations.is_churned) as is_churned,
        min(score_history.churn_probability_method) as first_method,
        max(score_history.churn_probability_method) as last_method
    from labelled_observations
    left join score_history
        on
            labelled_observations.account_id = score_history.account_id
            and labelled_observations.as_of_date = score_history.as_of_date
            and labelled_observations.scoring_version = score_history.scoring_version
            and labelled_observations.scorecard_key = score_history.scorecard_key
    group by 1, 2, 3, 4, 5
),

sliced_accounts as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        horizon_days,
        'period' as slice_kind,
        period as slice_value,
        is_churned,
        first_method,
        last_method
    from accounts

    union all

    select
        account_id,
        scoring_version,
        scorecard_key,
        horizon_days,
        'all' as slice_kind,
        'all' as slice_value,
        max(is_churned) as is_churned,
        min(first_method) as first_method,
        max(last_method) as last_method
    from accounts
    group by 1, 2, 3, 4
),

account_counts as (
    select
        scoring_version,
        scorecard_key,
        horizon_days,
        slice_kind,
        slice_value,
        count(*) as account_count,
        sum(is_churned) as churner_count,
        min(first_method) as first_method,
        max(last_method) as last_method
    from sliced_accounts
    group by 1, 2, 3, 4, 5
),

figures as (
    select
        sums.*,
        account_counts.account_count,
        account_counts.churner_count,
        case
            when account_counts.first_method = account_counts.last_method
                then account_counts.first_method
            when account_counts.first_method is not null then 'mixed'
        end as churn_probability_method,
        account_counts.churner_count >= limits.fewest_churners as has_enough_outcomes,
        {{ customer_health.safe_divide(
            'sums.churned_observation_count', 'sums.observation_count'
        ) }} as base_rate,
        {{ customer_health.safe_divide('sums.probability_sum', 'sums.observation_count') }}
            as mean_predicted,
        {{ customer_health.safe_divide('sums.squared_error_sum', 'sums.observation_count') }}
            as brier,
        calibration_fits.slope,
        calibration_fits.intercept,
        -- an account in several months is one witness
        {{ customer_health.normal_quantile_95() }} * calibration_fits.slope_standard_error
        * sqrt({{ customer_health.safe_divide(
            'sums.observation_count', 'account_counts.account_count'
        ) }}) as slope_half_width
    from sums
    cross join limits
    inner join account_counts
        on
            sums.scoring_version = account_counts.scoring_version
            and sums.scorecard_key = account_counts.scorecard_key
            and sums.horizon_days = account_counts.horizon_days
            and sums.slice_kind = account_counts.slice_kind
            and sums.slice_value = account_counts.slice_value
    left join calibration_fits
        on
            sums.scoring_version = calibration_fits.scoring_version
            and sums.scorecard_key = calibration_fits.scorecard_key
            and sums.horizon_days = calibration_fits.horizon_days
            and sums.slice_kind = calibration_fits.slice_kind
            and sums.slice_value = calibration_fits.slice_value
),

with_base as (
    select
        *,
        base_rate * (1 - base_rate) as base_brier
    from figures
),

final as (
    select
        scoring_version,
        scorecard_key,
        cast(lead_days as bigint) as lead_days,
        cast(horizon_days as bigint) as horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        churn_probability_method,
        cast(observation_count as bigint) as observation_count,
        cast(churned_observation_count as bigint) as churned_observation_count,
        cast(account_count as bigint) as account_count,
        cast(churner_count as bigint) as churner_count,
        has_enough_outcomes,
        {{ customer_health.round_score('base_rate') }} as base_rate,
        {{ customer_health.round_score('mean_predicted') }} as mean_predicted,
        {{ customer_health.round_score('case when has_enough_outcomes then brier end') }} as brier,
        {{ customer_health.round_score('case when has_enough_outcomes then base_brier end') }}
            as base_brier,
        {{ customer_health.round_score(
            'case when has_enough_outcomes then 1 - '
            ~ customer_health.safe_divide('brier', 'base_brier') ~ ' end'
        ) }} as brier_skill,
        {{ customer_health.round_score('case when has_enough_outcomes then slope end') }} as slope,
        {{ customer_health.round_score(
            'case when has_enough_outcomes then slope - slope_half_width end'
        ) }} as slope_low,
        {{ customer_health.round_score(
            'case when has_enough_outcomes then slope + slope_half_width end'
        ) }} as slope_high,
        {{ customer_health.round_score('case when has_enough_outcomes then intercept end') }}
            as intercept
    from with_base
)

select * from final
