{{ config(materialized='view') }}

with

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        lifecycle_stage,
        health_score,
        band,
        band_reason,
        {{ customer_health.publication_id() }} as publication_id
    from account_scores
    where as_of_date = {{ customer_health.as_of_date() }}
)

select * from final
