-- Do accounts whose score fell leave more often, and those whose score rose expand more often?
with

labelled_observations as (select * from {{ ref('int_health__labelled_observations') }}),

score_history as (select * from {{ ref('int_health__score_history') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

scored_observations as (
    select distinct
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        health_score,
        {{ customer_health.add_days('as_of_date', -28) }} as compared_date
    from labelled_observations
    where health_score is not null
),

changes as (
    select
        scored_observations.account_id,
        scored_observations.as_of_date,
        scored_observations.scoring_version,
        scored_observations.scorecard_key,
        scored_observations.health_score - floor(score_history.health_score_exact + 0.5)
            as change_points
    from scored_observations
    inner join score_history
        on
            scored_observations.account_id = score_history.account_id
            and scored_observations.compared_date = score_history.as_of_date
            and scored_observations.scoring_version = score_history.scoring_version
            and scored_observations.scorecard_key = score_history.scorecard_key
    where score_history.health_score_exact is not null
),

trends as (
    select
        changes.account_id,
        changes.as_of_date,
        changes.scoring_version,
        changes.scorecard_key,
        case
            when changes.change_points <= -1 * limits.trend_points then 'falling'
            when changes.change_points >= limits.trend_points then 'rising'
            else 'level'
        end as trend
    from changes
    cross join limits
),

counted as (
    select
        labelled_observations.scoring_version,
        labelled_observations.scorecard_key,
        labelled_observations.lead_days,
        labelled_observations.horizon_days,
        labelled_observations.is_headline,
        labelled_observations.is_out_of_time,
        trends.trend,
        count(*) as observation_count,
        sum(labelled_observations.is_churned) as churned_count,
        sum(labelled_observations.is_contracted) as contracted_count,
        sum(labelled_observations.is_renewed) as renewed_count,
        sum(labelled_observations.is_expanded) as expanded_count
    from labelled_observations
    inner join trends
        on
            labelled_observations.account_id = trends.account_id
            and labelled_observations.as_of_date = trends.as_of_date
            and labelled_observations.scoring_version = trends.scoring_version
            and labelled_observations.scorecard_key = trends.scorecard_key
    group by 1, 2, 3, 4, 5, 6, 7
),

outcomes as (
    {% for outcome, counted_as in customer_health.outcome_kinds() %}
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        is_out_of_time,
        trend,
        '{{ outcome }}' as outcome,
        observation_count,
        {{ counted_as }}_count as outcome_count
    from counted

    {% if not loop.last %}
    union all

    {% endif %}
    {% endfor %}
),

slices as (
    {{ customer_health.period_slices('outcomes') | indent(4) }}
),

summed as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        trend,
        outcome,
        sum(observation_count) as observation_count,
        sum(outcome_count) as outcome_count
    from slices
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9
),

final as (
    select
        scoring_version,
        scorecard_key,
        cast(lead_days as bigint) as lead_days,
        cast(horizon_days as bigint) as horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        trend,
        outcome,
        cast(observation_count as bigint) as observation_count,
        cast(outcome_count as bigint) as outcome_count,
        {{ customer_health.round_score(
            customer_health.safe_divide('outcome_count', 'observation_count')
        ) }} as rate,
        {{ customer_health.round_score(
            customer_health.wilson_bound('outcome_count', 'observation_count', 'low')
        ) }} as rate_low,
        {{ customer_health.round_score(
            customer_health.wilson_bound('outcome_count', 'observation_count', 'high')
        ) }} as rate_high
    from summed
)

select * from final
