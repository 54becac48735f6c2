{#- Metrics that correlate, directly or through others: the connected parts of the graph. Each round
    doubles the length of the chains that are followed, so that six reach through 64 metrics. -#}
{% set rounds = 6 %}

with

scorecard_metrics as (select * from {{ ref('int_health__scorecard_metrics') }}),

metric_correlations as (
    select *
    from {{ ref('val_health__metric_correlations') }}
    where is_same_group
),

reach_0 as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        metric_key as reached_key
    from scorecard_metrics

    union all

    select
        scoring_version,
        scorecard_key,
        metric_key,
        other_metric_key as reached_key
    from metric_correlations
),

{% for round in range(1, rounds + 1) %}
reach_{{ round }} as (
    select distinct
        nearer.scoring_version,
        nearer.scorecard_key,
        nearer.metric_key,
        farther.reached_key
    from reach_{{ round - 1 }} as nearer
    inner join reach_{{ round - 1 }} as farther
        on
            nearer.scoring_version = farther.scoring_version
            and nearer.scorecard_key = farther.scorecard_key
            and nearer.reached_key = farther.metric_key
),
{% endfor %}

first_reached as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        min(reached_key) as first_key
    from reach_{{ rounds }}
    group by 1, 2, 3
),

final as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        dense_rank() over (partition by scoring_version, scorecard_key order by first_key)
            as correlation_group
    from first_reached
)

select * from final
