-- One row per account with a score at as_of_date: its exact score, the sum of the points of its
-- metrics, and how far they are apart. Points are added as decimals, so that the sum does not
-- depend on the order of the rows; one that is not finite, or is as large as 1e15, makes the sum NaN
-- and so stays in sight.
with

points as (
    select
        metric_scores.account_id,
        metric_scores.scoring_version,
        metric_scores.scorecard_key,
        case
            when sum(case when abs(metric_scores.metric_points) < 1e15 then 0 else 1 end)
                > count(*) - count(metric_scores.metric_points)
                then cast('nan' as double precision)
            else
                cast(
                    sum(
                        case
                            when abs(metric_scores.metric_points) < 1e15
                                then cast(metric_scores.metric_points as decimal(28, 12))
                        end
                    ) as double precision
                )
        end as metric_points
    from fct_health__metric_scores as metric_scores
    inner join gate_run
        on metric_scores.as_of_date = gate_run.as_of_date
    group by
        metric_scores.account_id,
        metric_scores.scoring_version,
        metric_scores.scorecard_key
),

scores as (
    select
        account_scores.account_id,
        account_scores.scoring_version,
        account_scores.scorecard_key,
        account_scores.health_score_exact
    from fct_health__account_scores as account_scores
    inner join gate_run
        on account_scores.as_of_date = gate_run.as_of_date
    where account_scores.health_score_exact is not null
),

final as (
    select
        scores.account_id as row_key,
        scores.health_score_exact,
        points.metric_points,
        abs(scores.health_score_exact - points.metric_points) as difference
    from scores
    left join points
        on
            scores.account_id = points.account_id
            and scores.scoring_version = points.scoring_version
            and scores.scorecard_key = points.scorecard_key
)

select * from final
