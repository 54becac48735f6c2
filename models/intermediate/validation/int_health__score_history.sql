-- Every health score of every version, in force or beside, on all dates.
{{ config(materialized='view') }}

with

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

scorecard_scores as (
    select *
    from {{ ref('fct_health__scorecard_scores') }}
    where purpose = 'health'
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        health_score_exact,
        band,
        band_rank,
        band_since_date,
        churn_probability_method
    from account_scores

    union all

    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        health_score_exact,
        band,
        band_rank,
        band_since_date,
        churn_probability_method
    from scorecard_scores
)

select * from final
