-- The metric scores as reported, with the last good values in the place of those that a data
-- incident spoilt. What was reported stays beside them.
{{ config(materialized='view') }}

with

base_metric_scores as (select * from {{ ref('int_health__base_metric_scores') }}),

held_values as (select * from {{ ref('int_health__held_values') }}),

anchor_segments as (select * from {{ ref('int_health__anchor_segments') }}),

with_held_values as (
    select
        base_metric_scores.account_id,
        base_metric_scores.as_of_date,
        base_metric_scores.scoring_version,
        base_metric_scores.scorecard_key,
        base_metric_scores.category_key,
        base_metric_scores.metric_key,
        base_metric_scores.category_weight,
        base_metric_scores.metric_weight,
        base_metric_scores.metric_value,
        base_metric_scores.observed_at,
        base_metric_scores.sample_size,
        base_metric_scores.value_state,
        base_metric_scores.tenure_days,
        base_metric_scores.metric_score,
        held_values.metric_value as held_value,
        held_values.value_state as held_state,
        held_values.observed_at as held_observed_at,
        held_values.sample_size as held_sample_size,
        -- a value that is missing is unknown, as on any other day
        held_values.account_id is not null
        and base_metric_scores.value_state in ('observed', 'zero') as is_data_incident
    from base_metric_scores
    left join held_values
        on
            base_metric_scores.account_id = held_values.account_id
            and base_metric_scores.as_of_date = held_values.as_of_date
            and base_metric_scores.scoring_version = held_values.scoring_version
            and base_metric_scores.metric_key = held_values.metric_key
),

final as (
    select
        with_held_values.account_id,
        with_held_values.as_of_date,
        with_held_values.scoring_version,
        with_held_values.scorecard_key,
        with_held_values.category_key,
        with_held_values.metric_key,
        with_held_values.category_weight,
        with_held_values.metric_weight,
        case
            when with_held_values.is_data_incident then with_held_values.held_value
            else with_held_values.metric_value
        end as metric_value,
        case
            when with_held_values.is_data_incident then with_held_values.held_observed_at
            else with_held_values.observed_at
        end as observed_at,
        case
            when with_held_values.is_data_incident then with_held_values.held_sample_size
            else with_held_values.sample_size
        end as sample_size,
        case
            when with_held_values.is_data_incident then with_held_values.held_state
            else with_held_values.value_state
        end as value_state,
        with_held_values.tenure_days,
        case
            when with_held_values.is_data_incident
                then {{ customer_health.anchor_score(
                    'with_held_values.held_value', 'anchor_segments'
                ) }}
            else with_held_values.metric_score
        end as metric_score,
        with_held_values.is_data_incident,
        case
            when with_held_values.is_data_incident then with_held_values.metric_value
        end as reported_value
    from with_held_values
    left join anchor_segments
        on
            with_held_values.is_data_incident
            and {{ customer_health.anchor_join(
                'with_held_values', 'with_held_values.held_value', 'anchor_segments'
            ) }}
)

select * from final
