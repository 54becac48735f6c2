-- A view: its two readers ask for less than a copy of it would cost.
{{ config(materialized='view') }}

with

usable_metric_scores as (select * from {{ ref('int_health__usable_metric_scores') }}),

churn_probabilities as (select * from {{ ref('int_health__churn_probabilities') }}),

anchor_segments as (select * from {{ ref('int_health__anchor_segments') }}),

churn_scores as (
    select
        churn_probabilities.account_id,
        churn_probabilities.as_of_date,
        churn_probabilities.scoring_version,
        churn_probabilities.scorecard_key,
        churn_probabilities.category_key,
        churn_probabilities.metric_key,
        churn_probabilities.category_weight,
        churn_probabilities.metric_weight,
        churn_probabilities.metric_value,
        churn_probabilities.observed_at,
        churn_probabilities.sample_size,
        churn_probabilities.value_state,
        churn_probabilities.tenure_days,
        {{ customer_health.anchor_score(
            'churn_probabilities.metric_value', 'anchor_segments'
        ) }} as metric_score,
        false as is_data_incident,
        cast(null as {{ customer_health.type_double() }}) as reported_value
    from churn_probabilities
    left join anchor_segments
        on {{ customer_health.anchor_join(
            'churn_probabilities', 'churn_probabilities.metric_value', 'anchor_segments'
        ) }}
),

all_metric_scores as (
    select * from usable_metric_scores
    union all
    select * from churn_scores
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        category_key,
        metric_key,
        category_weight,
        metric_weight,
        metric_value,
        observed_at,
        sample_size,
        value_state,
        tenure_days,
        metric_score,
        is_data_incident,
        reported_value,
        value_state in ('observed', 'zero') as is_known,
        value_state in ('observed', 'zero', 'unknown') as is_applicable
    from all_metric_scores
)

select * from final
