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

compared_dates as (select * from {{ ref('int_health__compared_dates') }}),

differences as (
    select
        account_id,
        as_of_date,
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

-- rows in which nothing moved add nothing to the sum, and are left out; points that are missing
-- would break the sum, and are kept for the contract to refuse
moved as (
    select
        *,
        case when change_points > 0 then '+' else '' end
        || {{ customer_health.decimal_text('change_points', 1) }}
        || ' points: ' || metric_label || ' '
        || {{ customer_health.number_text('earlier_value') }}
        || ' → ' || {{ customer_health.number_text('later_value') }} as driver_text
    from differences
    where coalesce(
        abs(policy_points) + abs(behaviour_points) + abs(absence_points) > 0.000000001, true
    )
),

final as (
    select
        compared_dates.account_id,
        compared_dates.as_of_date,
        compared_dates.lag_key,
        compared_dates.compared_date,
        moved.metric_key,
        moved.policy_points,
        moved.behaviour_points,
        moved.absence_points,
        moved.change_points,
        moved.earlier_value,
        moved.later_value,
        moved.driver_text
    from compared_dates
    inner join moved
        on
            compared_dates.account_id = moved.account_id
            and compared_dates.as_of_date = moved.as_of_date
            and compared_dates.compared_date = moved.compared_date
)

select * from final
{{ customer_health.stored_order(['as_of_date', 'account_id']) }}
