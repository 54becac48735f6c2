-- Only the windows of these are counted: one that no score depends on costs as much as one that
-- counts.
{{ config(materialized='view') }}

with

scorecard_metrics as (select * from {{ ref('int_health__scorecard_metrics') }}),

knockouts as (select * from {{ ref('knockouts') }}),

used_metrics as (
    select
        scoring_version,
        metric_key
    from scorecard_metrics

    union all

    select
        scoring_version,
        metric_key
    from knockouts
),

-- DAU/MAU is made of the windows of active_users
with_parts as (
    select
        scoring_version,
        metric_key
    from used_metrics

    union all

    select
        scoring_version,
        'active_users' as metric_key
    from used_metrics
    where metric_key = 'stickiness'
),

final as (
    select distinct
        scoring_version,
        metric_key
    from with_parts
)

select * from final
