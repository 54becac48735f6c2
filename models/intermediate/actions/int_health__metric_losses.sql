-- Points that each metric of the health scorecard costs an account against a score of 10 in it, on
-- the dates of this run. Points that others could bring do not count: what is unknown is not lost.
{{ config(materialized='view') }}

with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where
        purpose = 'health'
        and metric_points is not null
        and as_of_date >= (select min(build_dates.as_of_date) from build_dates)
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        category_key,
        metric_key,
        metric_label,
        metric_value,
        metric_score,
        metric_points,
        most_points,
        most_points - metric_points as lost_points
    from metric_scores
)

select * from final
