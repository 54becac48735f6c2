-- depends_on: {{ ref('int_health__build_dates') }}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    post_hook="{{ customer_health.drop_old_rows('component_history_days', keep_sundays=true) }}",
    tags=['customer_health_history']
) }}

with

metric_points as (
    select *
    from {{ ref('int_health__metric_points') }}
    where
        is_in_force
        and ({{ customer_health.is_kept(
            'as_of_date', 'component_history_days', keep_sundays=true
        ) }})
),

metrics as (select * from {{ ref('metrics') }}),

final as (
    select
        metric_points.account_id,
        metric_points.as_of_date,
        metric_points.scoring_version,
        metric_points.scorecard_key,
        metric_points.purpose,
        metric_points.category_key,
        metric_points.metric_key,
        metrics.label as metric_label,
        metrics.unit,
        metric_points.value_state,
        metric_points.metric_value,
        metric_points.metric_score,
        metric_points.category_weight,
        metric_points.metric_weight,
        metric_points.effective_weight,
        metric_points.metric_points,
        metric_points.most_points,
        metric_points.category_score,
        metric_points.observed_at,
        {{ customer_health.days_between(
            'cast(metric_points.observed_at as date)', 'metric_points.as_of_date'
        ) }} as value_age_days,
        metric_points.sample_size,
        metric_points.tenure_days,
        metric_points.is_data_incident,
        metric_points.reported_value
    from metric_points
    inner join metrics
        on
            metric_points.scoring_version = metrics.scoring_version
            and metric_points.metric_key = metrics.metric_key
)

select * from final
{{ customer_health.stored_order(['as_of_date', 'account_id']) }}
