{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    tags=['customer_health_history']
) }}

with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

account_scores as (
    select *
    from {{ ref('int_health__account_scores') }}
    where
        purpose = 'health'
        and is_in_force
        and as_of_date >= (select min(build_dates.as_of_date) from build_dates)
),

account_bands as (select * from {{ ref('int_health__account_bands') }}),

spine as (select * from {{ ref('int_health__spine') }}),

churn_probabilities as (select * from {{ ref('int_health__churn_probabilities') }}),

final as (
    select
        account_scores.account_id,
        account_scores.as_of_date,
        account_scores.scoring_version,
        account_scores.scorecard_key,
        spine.segment,
        spine.plan,
        spine.region,
        spine.csm_id,
        spine.lifecycle_stage,
        spine.tenure_days,
        spine.mrr_amount,
        spine.arr_amount,
        spine.renewal_date,
        account_scores.health_score,
        account_scores.health_score_exact,
        account_scores.score_without_churn_risk,
        account_scores.score_low,
        account_scores.score_high,
        account_scores.coverage,
        account_scores.connected_weight,
        account_scores.known_metric_count,
        account_scores.applicable_metric_count,
        account_bands.raw_band,
        account_bands.band,
        account_bands.band_rank,
        account_bands.band_reason,
        account_bands.band_note,
        account_bands.band_since_date,
        account_bands.days_in_band,
        churn_probabilities.metric_value as churn_probability,
        churn_probabilities.churn_probability_method,
        account_scores.has_data_incident
    from account_scores
    inner join account_bands
        on
            account_scores.account_id = account_bands.account_id
            and account_scores.as_of_date = account_bands.as_of_date
            and account_scores.scoring_version = account_bands.scoring_version
            and account_scores.scorecard_key = account_bands.scorecard_key
    inner join spine
        on
            account_scores.account_id = spine.account_id
            and account_scores.as_of_date = spine.as_of_date
    left join churn_probabilities
        on
            account_scores.account_id = churn_probabilities.account_id
            and account_scores.as_of_date = churn_probabilities.as_of_date
            and account_scores.scoring_version = churn_probabilities.scoring_version
            and account_scores.scorecard_key = churn_probabilities.scorecard_key
)

select * from final
{{ customer_health.stored_order(['as_of_date', 'account_id']) }}
