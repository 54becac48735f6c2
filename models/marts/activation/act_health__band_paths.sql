-- The cheapest path to the next band: the fewest metrics that together are worth the points that
-- are missing, those with most to win first. The band follows once the score has stayed beyond the
-- edge by the margin of the scorecard.
with

account_scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where
        as_of_date = {{ customer_health.as_of_date() }}
        and health_score_exact is not null
),

scorecards as (select * from {{ ref('scorecards') }}),

scorecard_bands as (select * from {{ ref('int_health__scorecard_bands') }}),

-- the probability of churn follows the others; nobody can work on it alone
metric_losses as (
    select *
    from {{ ref('int_health__metric_losses') }}
    where
        as_of_date = {{ customer_health.as_of_date() }}
        and metric_key <> 'churn_probability'
        and lost_points > 0
),

metric_playbooks as (select * from {{ ref('int_health__metric_playbooks') }}),

next_bands as (
    select
        account_scores.account_id,
        account_scores.as_of_date,
        account_scores.band,
        scorecard_bands.band_key as next_band,
        scorecard_bands.band_label as next_band_label,
        case
            when account_scores.band_reason in ('knockout', 'override')
                then account_scores.band_note
        end as band_exception,
        scorecard_bands.lower_bound + scorecards.hysteresis_points
        - account_scores.health_score_exact as missing_points
    from account_scores
    inner join scorecards
        on
            account_scores.scoring_version = scorecards.scoring_version
            and account_scores.scorecard_key = scorecards.scorecard_key
    inner join scorecard_bands
        on
            account_scores.scoring_version = scorecard_bands.scoring_version
            and account_scores.scorecard_key = scorecard_bands.scorecard_key
            and account_scores.band_rank + 1 = scorecard_bands.band_rank
),

ranked as (
    select
        next_bands.account_id,
        next_bands.as_of_date,
        next_bands.band,
        next_bands.band_exception,
        next_bands.next_band,
        next_bands.next_band_label,
        {{ customer_health.round_score('greatest(next_bands.missing_points, 0)') }}
            as missing_points,
        metric_losses.scoring_version,
        metric_losses.category_key,
        metric_losses.metric_key,
        metric_losses.metric_label,
        metric_losses.metric_value,
        metric_losses.metric_score,
        metric_losses.most_points,
        {{ customer_health.round_score('metric_losses.lost_points') }} as lost_points,
        row_number() over (
            partition by next_bands.account_id
            order by
                {{ customer_health.round_score('metric_losses.lost_points') }} desc,
                metric_losses.metric_key asc
        ) as path_rank
    from next_bands
    inner join metric_losses
        on next_bands.account_id = metric_losses.account_id
),

-- rounded alike, so that points that cover exactly what is missing do
running as (
    select
        *,
        {{ customer_health.round_score(customer_health.exact_sum(
            'lost_points',
            over='partition by account_id order by path_rank'
            ~ ' rows between unbounded preceding and current row'
        )) }} as cumulative_points,
        coalesce({{ customer_health.round_score(customer_health.exact_sum(
            'lost_points',
            over='partition by account_id order by path_rank'
            ~ ' rows between unbounded preceding and 1 preceding'
        )) }}, 0) as covered_points,
        {{ customer_health.round_score(
            customer_health.exact_sum('lost_points', over='partition by account_id')
        ) }} as available_points
    from ranked
),

final as (
    select
        running.account_id,
        running.as_of_date,
        running.band,
        running.band_exception,
        running.next_band,
        running.next_band_label,
        running.missing_points,
        cast(running.path_rank as bigint) as path_rank,
        running.category_key,
        running.metric_key,
        running.metric_label,
        running.metric_value,
        running.metric_score,
        running.lost_points,
        running.cumulative_points,
        running.covered_points < running.missing_points as is_on_path,
        running.available_points >= running.missing_points as is_reachable,
        -- what is still missing when those before it have given all, in this metric's own score
        case
            when running.covered_points < running.missing_points
                then {{ customer_health.round_score(
                    'least(10, running.metric_score + ' ~ customer_health.safe_divide(
                        '10 * (running.missing_points - running.covered_points)',
                        'running.most_points'
                    ) ~ ')'
                ) }}
        end as needed_metric_score,
        metric_playbooks.playbook_key
    from running
    left join metric_playbooks
        on
            running.scoring_version = metric_playbooks.scoring_version
            and running.metric_key = metric_playbooks.metric_key
)

select * from final
