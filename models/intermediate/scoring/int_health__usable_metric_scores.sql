-- The metric scores as reported, with the last good values in the place of those that a data
-- incident spoilt. What was reported stays beside them.
{{ config(materialized='view') }}

with

base_metric_scores as (select * from {{ ref('int_health__base_metric_scores') }}),

held_values as (select * from {{ ref('int_health__held_values') }}),

anchor_segments as (select * from {{ ref('int_health__anchor_segments') }}),

-- few rows, and none without an incident; a value that is missing is unknown, as on any other day
held_scores as (
    select
        base_metric_scores.account_id,
        base_metric_scores.as_of_date,
        base_metric_scores.scoring_version,
        base_metric_scores.scorecard_key,
        base_metric_scores.metric_key,
        held_values.metric_value,
        held_values.value_state,
        held_values.observed_at,
        held_values.sample_size,
        {{ customer_health.anchor_score('held_values.metric_value', 'anchor_segments') }}
            as metric_score
    from base_metric_scores
    inner join held_values
        on
            base_metric_scores.account_id = held_values.account_id
            and base_metric_scores.as_of_date = held_values.as_of_date
            and base_metric_scores.scoring_version = held_values.scoring_version
            and base_metric_scores.metric_key = held_values.metric_key
    left join anchor_segments
        on {{ customer_health.anchor_join(
            'base_metric_scores', 'held_values.metric_value', 'anchor_segments'
        ) }}
    where base_metric_scores.value_state in ('observed', 'zero')
),

with_held_scores as (
    select
        base_metric_scores.*,
        held_scores.metric_value as held_value,
        held_scores.value_state as held_state,
        held_scores.observed_at as held_observed_at,
        held_scores.sample_size as held_sample_size,
        held_scores.metric_score as held_score,
        held_scores.account_id is not null as is_data_incident
    from base_metric_scores
    left join held_scores
        on
            base_metric_scores.account_id = held_scores.account_id
            and base_metric_scores.as_of_date = held_scores.as_of_date
            and base_metric_scores.scoring_version = held_scores.scoring_version
            and base_metric_scores.scorecard_key = held_scores.scorecard_key
            and base_metric_scores.metric_key = held_scores.metric_key
),

final as (
    select  -- noqa: ST06
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        category_key,
        metric_key,
        category_weight,
        metric_weight,
        case when is_data_incident then held_value else metric_value end as metric_value,
        case when is_data_incident then held_observed_at else observed_at end as observed_at,
        case when is_data_incident then held_sample_size else sample_size end as sample_size,
        case when is_data_incident then held_state else value_state end as value_state,
        tenure_days,
        case when is_data_incident then held_score else metric_score end as metric_score,
        is_data_incident,
        case when is_data_incident then metric_value end as reported_value
    from with_held_scores
)

select * from final
