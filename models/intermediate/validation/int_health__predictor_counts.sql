-- Stayers and churners by value of a predictor. Observations are counted by value and outcome first
-- and spread over slices and windows afterwards: these are few rows, whatever their number was.
{% set scores_only = "case when predictors.predictor_kind = 'score' then outcome_patterns." %}

with

predictors as (select * from {{ ref('int_health__monthly_predictors') }}),

outcome_patterns as (select * from {{ ref('int_health__outcome_patterns') }}),

pattern_windows as (select * from {{ ref('int_health__pattern_windows') }}),

counted as (
    select
        predictors.scoring_version,
        predictors.scorecard_key,
        predictors.predictor_kind,
        predictors.predictor_key,
        predictors.predictor_value,
        outcome_patterns.outcome_pattern,
        outcome_patterns.is_out_of_time,
        {{ scores_only }}as_of_date end as as_of_date,
        {{ scores_only }}segment end as segment,
        {{ scores_only }}plan end as plan,
        count(*) as observation_count,
        {{ customer_health.exact_sum('outcome_patterns.arr_amount') }} as arr_amount
    from predictors
    inner join outcome_patterns
        on
            predictors.account_id = outcome_patterns.account_id
            and predictors.as_of_date = outcome_patterns.as_of_date
            and predictors.scoring_version = outcome_patterns.scoring_version
            and predictors.scorecard_key = outcome_patterns.scorecard_key
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
),

slices as (
    {% for slice_kind, slice_value, condition in [
        ('all', "'all'", none),
        ('period', "case when is_out_of_time then 'out_of_time' else 'fitted' end", none),
        ('month', 'cast(as_of_date as ' ~ dbt.type_string() ~ ')', "predictor_kind = 'score'"),
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
        predictor_value,
        outcome_pattern,
        sum(observation_count) as observation_count,
        sum(arr_amount) as arr_amount
    from counted
    {% if condition %}
    where {{ condition }}
    {% endif %}
    group by 1, 2, 3, 4, 5, 6, 7, 8

    {% if not loop.last %}
    union all

    {% endif %}
    {% endfor %}
),

final as (
    select
        slices.scoring_version,
        slices.scorecard_key,
        pattern_windows.lead_days,
        pattern_windows.horizon_days,
        pattern_windows.is_headline,
        slices.slice_kind,
        slices.slice_value,
        slices.predictor_kind,
        slices.predictor_key,
        slices.predictor_value,
        cast(sum(slices.observation_count) as bigint) as observation_count,
        cast(sum(slices.observation_count * pattern_windows.is_churned) as bigint)
            as churned_observation_count,
        {{ customer_health.exact_sum(
            'case when pattern_windows.is_churned = 1 then slices.arr_amount else 0 end'
        ) }} as churned_arr_amount
    from slices
    inner join pattern_windows
        on slices.outcome_pattern = pattern_windows.outcome_pattern
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
)

select * from final
