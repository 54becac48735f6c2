-- How often each value of a metric was followed by a churn, on the dates that the headline figures
-- look back on, out of time: values repeat, so that little is left to count.
with

labelled_observations as (
    select *
    from {{ ref('int_health__labelled_observations') }}
    where is_headline and is_out_of_time
),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where purpose = 'health'
),

final as (
    select
        labelled_observations.scoring_version,
        labelled_observations.scorecard_key,
        metric_scores.metric_key,
        metric_scores.value_state,
        metric_scores.metric_value,
        metric_scores.metric_score,
        cast(count(*) as bigint) as observation_count,
        cast(sum(labelled_observations.is_churned) as bigint) as churned_observation_count
    from labelled_observations
    inner join metric_scores
        on
            labelled_observations.account_id = metric_scores.account_id
            and labelled_observations.as_of_date = metric_scores.as_of_date
            and labelled_observations.scoring_version = metric_scores.scoring_version
            and labelled_observations.scorecard_key = metric_scores.scorecard_key
    group by 1, 2, 3, 4, 5, 6
)

select * from final
