-- How many different accounts stand behind the observations of a predictor: an account that is seen
-- in several months is one witness.
{% set scores_only = "case when predictors.predictor_kind = 'score' then outcome_patterns." %}

with

predictors as (select * from {{ ref('int_health__monthly_predictors') }}),

outcome_patterns as (select * from {{ ref('int_health__outcome_patterns') }}),

window_digits as (select * from {{ ref('int_health__window_digits') }}),

predictor_counts as (select * from {{ ref('int_health__predictor_counts') }}),

-- the digits of several observations of an account, put together bit by bit: 1 stayed after all of
-- them, 2 churned after all, 3 both
account_outcomes as (
    select
        predictors.scoring_version,
        predictors.scorecard_key,
        predictors.predictor_kind,
        predictors.predictor_key,
        predictors.account_id,
        outcome_patterns.is_out_of_time,
        {{ scores_only }}segment end as segment,
        {{ scores_only }}plan end as plan,
        {{ customer_health.bit_or('outcome_patterns.outcome_pattern') }} as outcome_pattern
    from predictors
    inner join outcome_patterns
        on
            predictors.account_id = outcome_patterns.account_id
            and predictors.as_of_date = outcome_patterns.as_of_date
            and predictors.scoring_version = outcome_patterns.scoring_version
            and predictors.scorecard_key = outcome_patterns.scorecard_key
    group by 1, 2, 3, 4, 5, 6, 7, 8
),

slices as (
    {% for slice_kind, slice_value, condition in [
        ('all', "'all'", none),
        ('period', "case when is_out_of_time then 'out_of_time' else 'fitted' end", none),
        ('segment', 'segment', "predictor_kind = 'score'"),
        ('plan', 'plan', "predictor_kind = 'score'"),
    ] %}
    select
        scoring_version,
        scorecard_key,
        '{{ slice_kind }}' as slice_kind,
        {{ slice_value }} as slice_value,
        predictor_kind,
        predictor_key,
        account_id,
        {{ customer_health.bit_or('outcome_pattern') }} as outcome_pattern
    from account_outcomes
    {% if condition %}
    where {{ condition }}
    {% endif %}
    group by 1, 2, 3, 4, 5, 6, 7

    {% if not loop.last %}
    union all

    {% endif %}
    {% endfor %}
),

grouped as (
    select
        scoring_version,
        scorecard_key,
        slice_kind,
        slice_value,
        predictor_kind,
        predictor_key,
        outcome_pattern,
        count(*) as account_count
    from slices
    group by 1, 2, 3, 4, 5, 6, 7
),

in_windows as (
    select
        grouped.*,
        window_digits.lead_days,
        window_digits.horizon_days,
        {{ customer_health.base_4_digit('grouped.outcome_pattern', 'window_digits.digit_value') }}
            as digit
    from grouped
    cross join window_digits
),

counted as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        slice_kind,
        slice_value,
        predictor_kind,
        predictor_key,
        sum(account_count) as account_count,
        sum(case when digit >= 2 then account_count else 0 end) as churner_count
    from in_windows
    where digit > 0
    group by 1, 2, 3, 4, 5, 6, 7, 8

    union all

    -- within a month every observation is another account
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        slice_kind,
        slice_value,
        predictor_kind,
        predictor_key,
        sum(observation_count) as account_count,
        sum(churned_observation_count) as churner_count
    from predictor_counts
    where slice_kind = 'month'
    group by 1, 2, 3, 4, 5, 6, 7, 8
),

final as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        slice_kind,
        slice_value,
        predictor_kind,
        predictor_key,
        cast(account_count as bigint) as account_count,
        cast(churner_count as bigint) as churner_count
    from counted
)

select * from final
