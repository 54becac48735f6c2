with

scored_versions as (select * from {{ ref('int_health__scored_versions') }}),

metrics as (select * from {{ ref('metrics') }}),

final as (
    select
        scored_versions.as_of_date,
        scored_versions.scoring_version,
        metrics.metric_key,
        metrics.source_key,
        metrics.window_days,
        {{ customer_health.add_days(
            'scored_versions.as_of_date', '-1 * coalesce(metrics.window_days, 0)'
        ) }} as window_from,
        metrics.half_life_days,
        metrics.prior_value,
        metrics.prior_strength
    from scored_versions
    inner join metrics
        on scored_versions.scoring_version = metrics.scoring_version
)

select * from final
