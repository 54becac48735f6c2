-- depends_on: {{ ref('int_health__build_dates') }}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    post_hook="{{ customer_health.drop_old_rows('change_history_days') }}",
    tags=['customer_health_history']
) }}

with

score_paths as (select * from {{ ref('int_health__score_paths') }}),

differences as (
    select
        account_id,
        as_of_date,
        lag_key,
        compared_date,
        metric_key,
        metric_label,
        earlier_value,
        later_value,
        points_p1 - points_p0 as policy_points,
        points_p2 - points_p1 as behaviour_points,
        points_p3 - points_p2 as absence_points,
        points_p3 - points_p0 as change_points
    from score_paths
),

-- rows in which nothing moved add nothing to the sum, and are left out
moved as (
    select *
    from differences
    where abs(policy_points) + abs(behaviour_points) + abs(absence_points) > 0.000000001
),

final as (
    select
        account_id,
        as_of_date,
        lag_key,
        compared_date,
        metric_key,
        policy_points,
        behaviour_points,
        absence_points,
        change_points,
        earlier_value,
        later_value,
        case when change_points > 0 then '+' else '' end
        || {{ customer_health.decimal_text('change_points', 1) }}
        || ' points: ' || metric_label || ' '
        || {{ customer_health.number_text('earlier_value') }}
        || ' → ' || {{ customer_health.number_text('later_value') }} as driver_text
    from moved
)

select * from final
{{ customer_health.stored_order(['as_of_date', 'account_id']) }}
