-- Churn by tenths of a metric's values: where anchors ought to lie, and whether more is better.
{% set metric = 'scoring_version, scorecard_key, metric_key' %}

with

metric_value_counts as (
    select *
    from {{ ref('int_health__metric_value_counts') }}
    where metric_score is not null and metric_value is not null
),

-- a value may stand with several scores: anchors may depend on the segment
value_counts as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        {{ customer_health.round_score('metric_value') }} as metric_value,
        sum(observation_count) as observation_count,
        sum(churned_observation_count) as churned_observation_count,
        {{ customer_health.exact_sum('observation_count * metric_score') }} as score_sum
    from metric_value_counts
    group by 1, 2, 3, 4
),

ranked as (
    select
        *,
        sum(observation_count) over (
            partition by {{ metric }}
            order by metric_value
            rows between unbounded preceding and current row
        ) - observation_count as smaller_count,
        sum(observation_count) over (partition by {{ metric }}) as total_count
    from value_counts
),

binned as (
    select
        *,
        {{ customer_health.equal_count_bin('smaller_count', 'observation_count', 'total_count') }}
            as cohort
    from ranked
),

cohorts as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        cohort,
        sum(observation_count) as observation_count,
        sum(churned_observation_count) as churned_observation_count,
        min(metric_value) as lowest_value,
        max(metric_value) as highest_value,
        {{ customer_health.exact_sum('observation_count * metric_value') }} as value_sum,
        sum(score_sum) as score_sum
    from binned
    group by 1, 2, 3, 4
),

final as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        cohort,
        cast(observation_count as bigint) as observation_count,
        lowest_value,
        highest_value,
        {{ customer_health.round_score(
            customer_health.safe_divide('value_sum', 'observation_count')
        ) }} as mean_value,
        {{ customer_health.round_score(
            customer_health.safe_divide('score_sum', 'observation_count')
        ) }} as mean_score,
        cast(churned_observation_count as bigint) as churned_observation_count,
        {{ customer_health.round_score(
            customer_health.safe_divide('churned_observation_count', 'observation_count')
        ) }} as churn_rate,
        {{ customer_health.round_score(customer_health.wilson_bound(
            'churned_observation_count', 'observation_count', 'low'
        )) }} as rate_low,
        {{ customer_health.round_score(customer_health.wilson_bound(
            'churned_observation_count', 'observation_count', 'high'
        )) }} as rate_high
    from cohorts
)

select * from final
