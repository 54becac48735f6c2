-- The line through the anchor points of a metric, piece by piece, for each scorecard and tenure.
with

metric_anchors as (select * from {{ ref('metric_anchors') }}),

scorecard_metrics as (select * from {{ ref('int_health__scorecard_metrics') }}),

anchor_sets as (
    select distinct
        scorecard_metrics.scoring_version,
        scorecard_metrics.scorecard_key,
        scorecard_metrics.metric_key,
        scorecard_metrics.interpolation,
        metric_anchors.scorecard_key as anchor_scorecard_key,
        metric_anchors.tenure_days_from
    from scorecard_metrics
    inner join metric_anchors
        on
            scorecard_metrics.scoring_version = metric_anchors.scoring_version
            and scorecard_metrics.metric_key = metric_anchors.metric_key
            and (
                scorecard_metrics.scorecard_key = metric_anchors.scorecard_key
                or metric_anchors.scorecard_key = '*'
            )
),

tenure_steps as (
    select distinct
        scoring_version,
        scorecard_key,
        metric_key,
        tenure_days_from as step_from
    from anchor_sets
),

-- from each tenure on: the scorecard's own set beats `*`, then the largest tenure reached
ranked_sets as (
    select
        tenure_steps.scoring_version,
        tenure_steps.scorecard_key,
        tenure_steps.metric_key,
        tenure_steps.step_from,
        anchor_sets.interpolation,
        anchor_sets.anchor_scorecard_key,
        anchor_sets.tenure_days_from,
        row_number() over (
            partition by
                tenure_steps.scoring_version,
                tenure_steps.scorecard_key,
                tenure_steps.metric_key,
                tenure_steps.step_from
            order by
                case when anchor_sets.anchor_scorecard_key = '*' then 1 else 0 end asc,
                anchor_sets.tenure_days_from desc
        ) as set_rank
    from tenure_steps
    inner join anchor_sets
        on
            tenure_steps.scoring_version = anchor_sets.scoring_version
            and tenure_steps.scorecard_key = anchor_sets.scorecard_key
            and tenure_steps.metric_key = anchor_sets.metric_key
            and tenure_steps.step_from >= anchor_sets.tenure_days_from
),

chosen_sets as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        interpolation,
        anchor_scorecard_key,
        tenure_days_from,
        step_from,
        lead(step_from) over (
            partition by scoring_version, scorecard_key, metric_key
            order by step_from
        ) as step_to
    from ranked_sets
    where set_rank = 1
),

points as (
    select
        chosen_sets.scoring_version,
        chosen_sets.scorecard_key,
        chosen_sets.metric_key,
        chosen_sets.interpolation,
        chosen_sets.step_from,
        chosen_sets.step_to,
        metric_anchors.value as value_from,
        metric_anchors.score as score_from,
        lead(metric_anchors.value) over (
            partition by
                chosen_sets.scoring_version,
                chosen_sets.scorecard_key,
                chosen_sets.metric_key,
                chosen_sets.step_from
            order by metric_anchors.value
        ) as value_to,
        lead(metric_anchors.score) over (
            partition by
                chosen_sets.scoring_version,
                chosen_sets.scorecard_key,
                chosen_sets.metric_key,
                chosen_sets.step_from
            order by metric_anchors.value
        ) as score_to,
        row_number() over (
            partition by
                chosen_sets.scoring_version,
                chosen_sets.scorecard_key,
                chosen_sets.metric_key,
                chosen_sets.step_from
            order by metric_anchors.value
        ) as point_number
    from chosen_sets
    inner join metric_anchors
        on
            chosen_sets.scoring_version = metric_anchors.scoring_version
            and chosen_sets.anchor_scorecard_key = metric_anchors.scorecard_key
            and chosen_sets.metric_key = metric_anchors.metric_key
            and chosen_sets.tenure_days_from = metric_anchors.tenure_days_from
),

final as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        interpolation,
        step_from as tenure_days_from,
        step_to as tenure_days_to,
        value_from,
        value_to,
        score_from,
        coalesce(score_to, score_from) as score_to
    from points

    union all

    -- flat before the first point
    select
        scoring_version,
        scorecard_key,
        metric_key,
        interpolation,
        step_from as tenure_days_from,
        step_to as tenure_days_to,
        null as value_from,
        value_from as value_to,
        score_from,
        score_from as score_to
    from points
    where point_number = 1
)

select * from final
