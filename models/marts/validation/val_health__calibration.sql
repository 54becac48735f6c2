-- What was said and what happened, by tenths of the account-months in the order of probability.
{% set slice = 'scoring_version, scorecard_key, lead_days, horizon_days, slice_kind, slice_value' %}

with

probability_counts as (select * from {{ ref('int_health__probability_counts') }}),

ranked as (
    select
        *,
        sum(observation_count) over (
            partition by {{ slice }}
            order by churn_probability
            rows between unbounded preceding and current row
        ) - observation_count as smaller_count,
        sum(observation_count) over (partition by {{ slice }}) as total_count
    from probability_counts
),

binned as (
    select
        *,
        {{ customer_health.equal_count_bin('smaller_count', 'observation_count', 'total_count') }}
            as bin
    from ranked
),

bins as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        bin,
        sum(observation_count) as observation_count,
        sum(churned_observation_count) as churned_observation_count,
        {{ customer_health.exact_sum('observation_count * churn_probability') }} as probability_sum
    from binned
    group by 1, 2, 3, 4, 5, 6, 7, 8
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
        bin,
        cast(observation_count as bigint) as observation_count,
        cast(churned_observation_count as bigint) as churned_observation_count,
        {{ customer_health.round_score(
            customer_health.safe_divide('probability_sum', 'observation_count')
        ) }} as mean_predicted,
        {{ customer_health.round_score(
            customer_health.safe_divide('churned_observation_count', 'observation_count')
        ) }} as observed_rate,
        {{ customer_health.round_score(customer_health.wilson_bound(
            'churned_observation_count', 'observation_count', 'low'
        )) }} as observed_low,
        {{ customer_health.round_score(customer_health.wilson_bound(
            'churned_observation_count', 'observation_count', 'high'
        )) }} as observed_high
    from bins
)

select * from final
