-- What the sources reported, and how it scores: the dates of this run, and before them as many days
-- as a value may be held. Only the version in force.
-- depends_on: {{ ref('int_health__anchor_segments') }}, {{ ref('int_health__build_dates') }}
{{ config(materialized='view') }}
{% set earlier_metric_scores = customer_health.history_relation('fct_health__metric_scores') %}

with

base_metric_scores as (select * from {{ ref('int_health__base_metric_scores') }}),

assignments as (select * from {{ ref('int_health__scorecard_assignments') }}),

{% if earlier_metric_scores is not none %}
anchor_segments as (select * from {{ ref('int_health__anchor_segments') }}),

first_build_dates as (
    select min(as_of_date) as first_date
    from {{ ref('int_health__build_dates') }}
),

earlier_rows as (
    select
        metric_scores.account_id,
        metric_scores.as_of_date,
        metric_scores.scoring_version,
        metric_scores.scorecard_key,
        metric_scores.purpose,
        metric_scores.metric_key,
        metric_scores.tenure_days,
        metric_scores.is_data_incident,
        metric_scores.metric_score,
        metric_scores.value_state,
        metric_scores.observed_at,
        metric_scores.sample_size,
        case
            when metric_scores.is_data_incident then metric_scores.reported_value
            else metric_scores.metric_value
        end as metric_value
    from {{ earlier_metric_scores }} as metric_scores
    cross join first_build_dates
    where
        metric_scores.as_of_date < first_build_dates.first_date
        and metric_scores.as_of_date >= {{ customer_health.add_days(
            'first_build_dates.first_date',
            -1 * customer_health.integer_var('incident_hold_days')
        ) }}
),

{% endif %}
reported as (
    select
        base_metric_scores.account_id,
        base_metric_scores.as_of_date,
        base_metric_scores.scoring_version,
        base_metric_scores.scorecard_key,
        assignments.purpose,
        base_metric_scores.metric_key,
        base_metric_scores.metric_value,
        base_metric_scores.metric_score,
        base_metric_scores.value_state,
        base_metric_scores.observed_at,
        base_metric_scores.sample_size
    from base_metric_scores
    inner join assignments
        on
            base_metric_scores.account_id = assignments.account_id
            and base_metric_scores.as_of_date = assignments.as_of_date
            and base_metric_scores.scoring_version = assignments.scoring_version
            and base_metric_scores.scorecard_key = assignments.scorecard_key
    where assignments.is_in_force
    {% if earlier_metric_scores is not none %}

    union all

    select
        earlier_rows.account_id,
        earlier_rows.as_of_date,
        earlier_rows.scoring_version,
        earlier_rows.scorecard_key,
        earlier_rows.purpose,
        earlier_rows.metric_key,
        earlier_rows.metric_value,
        case
            when earlier_rows.is_data_incident
                then {{ customer_health.anchor_score(
                    'earlier_rows.metric_value', 'anchor_segments'
                ) }}
            else earlier_rows.metric_score
        end as metric_score,
        earlier_rows.value_state,
        earlier_rows.observed_at,
        earlier_rows.sample_size
    from earlier_rows
    left join anchor_segments
        on
            earlier_rows.is_data_incident
            and {{ customer_health.anchor_join(
                'earlier_rows', 'earlier_rows.metric_value', 'anchor_segments'
            ) }}
    {% endif %}
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        purpose,
        metric_key,
        metric_value,
        metric_score,
        value_state,
        observed_at,
        sample_size
    from reported
    where
        value_state in ('observed', 'zero')
        and metric_key <> 'churn_probability'
)

select * from final
