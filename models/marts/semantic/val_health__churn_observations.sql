-- The observations that the headline churn rate counts, one by one, so that it can be asked for by
-- anything that is known of an account. The window is that of the figures published beside it.
{{ config(materialized='view', contract={'enforced': false}) }}
-- depends_on: {{ ref('val_health__observations') }}
-- depends_on: {{ ref('val_health__band_outcomes') }}

with

observations as (
    select *
    from {{ customer_health.published_table('val_health__observations') }}
    where is_in_force
),

band_outcomes as (select * from {{ customer_health.published_table('val_health__band_outcomes') }}),

headline_window as (
    select distinct
        lead_days,
        lead_days + horizon_days as window_end_days
    from band_outcomes
    where is_headline
),

in_window as (
    select
        observations.*,
        headline_window.lead_days,
        headline_window.window_end_days
    from observations
    cross join headline_window
),

counted as (
    select
        *,
        case when days_to_churn < window_end_days then 1 else 0 end as is_churned
    from in_window
    where
        {{ customer_health.is_counted_in_window() | indent(8) }}
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        segment,
        plan,
        band,
        is_out_of_time,
        cast(arr_amount as {{ customer_health.type_double() }}) as arr_amount,
        cast(is_churned as bigint) as churned_count
    from counted
)

select * from final
