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

-- rows in which nothing moved add nothing to the sum, and are left out; points that are missing
-- would break the sum, and are kept for the contract to refuse
moved as (
    select *
    from score_paths
    where
        coalesce(
            abs(points_p1 - points_p0) + abs(points_p2 - points_p1) + abs(points_p3 - points_p2)
            > 0.000000001,
            true
        )
),

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
    from moved
),

in_words as (
    select
        *,
        case when change_points > 0 then '+' else '' end
        || {{ customer_health.decimal_text('change_points', 1) }}
        || ' points: ' || metric_label || ' '
        || {{ customer_health.number_text('earlier_value') }}
        || ' → ' || {{ customer_health.number_text('later_value') }} as driver_text
    from differences
),

final as (
    select
        compared_dates.account_id,
        compared_dates.as_of_date,
        compared_dates.lag_key,
        compared_dates.compared_date,
        in_words.metric_key,
        in_words.policy_points,
        in_words.behaviour_points,
        in_words.absence_points,
        in_words.change_points,
        in_words.earlier_value,
        in_words.later_value,
        in_words.driver_text
    from compared_dates
    inner join in_words
        on
            compared_dates.account_id = in_words.account_id
            and compared_dates.as_of_date = in_words.as_of_date
            and compared_dates.compared_date = in_words.compared_date
)

select * from final
{{ customer_health.stored_order(['as_of_date', 'account_id']) }}
