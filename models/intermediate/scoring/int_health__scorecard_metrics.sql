with

metric_weights as (select * from {{ ref('metric_weights') }}),

category_weights as (select * from {{ ref('category_weights') }}),

metrics as (select * from {{ ref('metrics') }}),

final as (
    select
        metric_weights.scoring_version,
        metric_weights.scorecard_key,
        metrics.category_key,
        metric_weights.metric_key,
        category_weights.weight as category_weight,
        metric_weights.weight as metric_weight,
        metrics.source_key,
        metrics.absence,
        metrics.stale_after_days,
        metrics.due_after_tenure_days,
        metrics.interpolation
    from metric_weights
    inner join metrics
        on
            metric_weights.scoring_version = metrics.scoring_version
            and metric_weights.metric_key = metrics.metric_key
    inner join category_weights
        on
            metric_weights.scoring_version = category_weights.scoring_version
            and metric_weights.scorecard_key = category_weights.scorecard_key
            and metrics.category_key = category_weights.category_key
    where
        metric_weights.weight > 0
        and category_weights.weight > 0
)

select * from final
