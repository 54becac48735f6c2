{#- Logistic regression of churn on the log-odds of its probability (Cox 1958), by Newton's steps:
    with two numbers to find a dozen steps settle to the last digits, or the fit does not exist. -#}
{% set steps = 12 %}
{% set double = customer_health.type_double() | trim %}

with

probability_counts as (select * from {{ ref('int_health__probability_counts') }}),

slices as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        slice_kind,
        slice_value,
        row_number() over (
            order by
                scoring_version, scorecard_key, lead_days, horizon_days, slice_kind, slice_value
        ) as fit_number,
        sum(observation_count) as observation_count,
        sum(churned_observation_count) as churned_observation_count
    from probability_counts
    group by 1, 2, 3, 4, 5, 6
),

-- probabilities of 0 and 1 have no log-odds: they count as one in a million
points as (
    select
        slices.fit_number,
        {{ customer_health.round_score(
            'ln(least(greatest(probability_counts.churn_probability, 0.000001), 0.999999)'
            ~ ' / (1 - least(greatest(probability_counts.churn_probability, 0.000001), 0.999999)))'
        ) }} as log_odds,
        cast(probability_counts.observation_count as {{ double }}) as observation_count,
        cast(probability_counts.churned_observation_count as {{ double }})
            as churned_observation_count
    from probability_counts
    inner join slices
        on
            probability_counts.scoring_version = slices.scoring_version
            and probability_counts.scorecard_key = slices.scorecard_key
            and probability_counts.lead_days = slices.lead_days
            and probability_counts.horizon_days = slices.horizon_days
            and probability_counts.slice_kind = slices.slice_kind
            and probability_counts.slice_value = slices.slice_value
),

step_0 as (
    select
        fit_number,
        ln({{ customer_health.safe_divide(
            'churned_observation_count', 'observation_count - churned_observation_count'
        ) }}) as intercept,
        cast(0 as {{ double }}) as slope,
        cast(null as {{ double }}) as slope_variance,
        cast(null as {{ double }}) as last_change
    from slices
    where churned_observation_count > 0 and churned_observation_count < observation_count
),

{% for step in range(1, steps + 1) %}
fitted_{{ step }} as (
    select
        points.fit_number,
        points.log_odds,
        points.observation_count,
        points.churned_observation_count,
        step_{{ step - 1 }}.intercept,
        step_{{ step - 1 }}.slope,
        1 / (1 + exp(-1 * least(greatest(
            step_{{ step - 1 }}.intercept + step_{{ step - 1 }}.slope * points.log_odds, -30
        ), 30))) as fitted_rate
    from points
    inner join step_{{ step - 1 }}
        on points.fit_number = step_{{ step - 1 }}.fit_number
    where step_{{ step - 1 }}.slope is not null
),

sums_{{ step }} as (
    select
        fit_number,
        max(intercept) as intercept,
        max(slope) as slope,
        cast({{ customer_health.exact_sum(
            'churned_observation_count - observation_count * fitted_rate'
        ) }} as {{ double }}) as gradient,
        cast({{ customer_health.exact_sum(
            'log_odds * (churned_observation_count - observation_count * fitted_rate)'
        ) }} as {{ double }}) as slope_gradient,
        cast({{ customer_health.exact_sum(
            'observation_count * fitted_rate * (1 - fitted_rate)'
        ) }} as {{ double }}) as weight,
        cast({{ customer_health.exact_sum(
            'observation_count * fitted_rate * (1 - fitted_rate) * log_odds'
        ) }} as {{ double }}) as weighted_log_odds,
        cast({{ customer_health.exact_sum(
            'observation_count * fitted_rate * (1 - fitted_rate) * log_odds * log_odds'
        ) }} as {{ double }}) as weighted_square
    from fitted_{{ step }}
    group by 1
),

-- without two different probabilities there is no slope; one that runs away has no end
determinants_{{ step }} as (
    select
        *,
        case
            when
                weight * weighted_square - weighted_log_odds * weighted_log_odds
                > 0.000000001 * weight * weighted_square
                and abs(slope) < 1000 and abs(intercept) < 10000
                then weight * weighted_square - weighted_log_odds * weighted_log_odds
        end as determinant
    from sums_{{ step }}
),

step_{{ step }} as (
    select
        fit_number,
        intercept + (weighted_square * gradient - weighted_log_odds * slope_gradient) / determinant
            as intercept,
        slope + (weight * slope_gradient - weighted_log_odds * gradient) / determinant as slope,
        weight / determinant as slope_variance,
        abs((weight * slope_gradient - weighted_log_odds * gradient) / determinant) as last_change
    from determinants_{{ step }}
    where determinant is not null
),
{% endfor %}

final as (
    select
        slices.scoring_version,
        slices.scorecard_key,
        slices.lead_days,
        slices.horizon_days,
        slices.slice_kind,
        slices.slice_value,
        {{ customer_health.round_score(
            'case when step_' ~ steps ~ '.last_change < 0.00000001 then slope end'
        ) }} as slope,
        {{ customer_health.round_score(
            'case when step_' ~ steps ~ '.last_change < 0.00000001 then intercept end'
        ) }} as intercept,
        {{ customer_health.round_score(
            'case when step_' ~ steps ~ '.last_change < 0.00000001 then sqrt(slope_variance) end'
        ) }} as slope_standard_error
    from slices
    left join step_{{ steps }}
        on slices.fit_number = step_{{ steps }}.fit_number
)

select * from final
