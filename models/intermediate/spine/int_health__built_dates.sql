-- Written last: a date stands here only when every history table holds it. A run that died on the
-- way leaves no mark, and the next one builds its dates again.
-- depends_on: {{ ref('int_health__build_dates') }}
-- depends_on: {{ ref('fct_health__account_scores') }}
-- depends_on: {{ ref('fct_health__scorecard_scores') }}
-- depends_on: {{ ref('fct_health__metric_scores') }}
-- depends_on: {{ ref('fct_health__score_changes') }}
-- depends_on: {{ ref('bi_health__portfolio_daily') }}
-- depends_on: {{ ref('int_health__playbook_firings') }}
-- depends_on: {{ ref('int_health__monthly_predictors') }}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    tags=['customer_health_history']
) }}

with

scored_versions as (select * from {{ ref('int_health__scored_versions') }}),

final as (
    select
        as_of_date,
        scoring_version
    from scored_versions
)

select * from final
