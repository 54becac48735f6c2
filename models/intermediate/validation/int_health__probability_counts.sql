-- How often accounts of each probability left: probabilities repeat, so that little is left to
-- count.
{{ config(materialized='table') }}

with

labelled_observations as (
    select *
    from {{ ref('int_health__labelled_observations') }}
    where lead_days = 0 and churn_probability is not null
),

period_counts as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        case when is_out_of_time then 'out_of_time' else 'fitted' end as period,
        {{ customer_health.round_score('churn_probability') }} as churn_probability,
        count(*) as observation_count,
        sum(is_churned) as churned_observation_count
    from labelled_observations
    group by 1, 2, 3, 4, 5, 6, 7
),

sliced_counts as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        'period' as slice_kind,
        period as slice_value,
        churn_probability,
        observation_count,
        churned_observation_count
    from period_counts

    union all

    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        'all' as slice_kind,
        'all' as slice_value,
        churn_probability,
        sum(observation_count) as observation_count,
        sum(churned_observation_count) as churned_observation_count
    from period_counts
    group by 1, 2, 3, 4, 5, 6, 7, 8
),

final as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        churn_probability,
        cast(observation_count as bigint) as observation_count,
        cast(churned_observation_count as bigint) as churned_observation_count
    from sliced_counts
)

select * from final
