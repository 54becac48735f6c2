-- Which metrics earn their weight: what each says alone, how often it is known, and with which
-- others it agrees.
with

metric_value_counts as (select * from {{ ref('int_health__metric_value_counts') }}),

scorecard_metrics as (select * from {{ ref('int_health__scorecard_metrics') }}),

metric_correlations as (
    select *
    from {{ ref('val_health__metric_correlations') }}
    where correlation is not null
),

metric_groups as (select * from {{ ref('int_health__metric_groups') }}),

discrimination as (
    select *
    from {{ ref('val_health__discrimination') }}
    where
        predictor_kind = 'metric'
        and is_headline
        and slice_kind = 'period'
        and slice_value = 'out_of_time'
),

sums as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        sum(case when metric_score is not null then observation_count else 0 end) as present_count,
        sum(case when metric_score is not null then churned_observation_count else 0 end)
            as present_churned_count,
        sum(case
            when metric_score is null and value_state = 'unknown' then observation_count
            else 0
        end) as missing_count,
        sum(case
            when metric_score is null and value_state = 'unknown' then churned_observation_count
            else 0
        end) as missing_churned_count,
        {{ customer_health.exact_sum('observation_count * metric_score') }} as score_sum,
        {{ customer_health.exact_sum('observation_count * metric_score * metric_score') }}
            as score_square_sum
    from metric_value_counts
    group by 1, 2, 3
),

moments as (
    select
        *,
        {{ customer_health.safe_divide('score_sum', 'present_count') }} as mean_score,
        {{ customer_health.safe_divide('score_square_sum', 'present_count') }} as mean_square
    from sums
),

ranked_correlations as (
    select
        scoring_version,
        scorecard_key,
        metric_key,
        other_metric_key,
        correlation,
        row_number() over (
            partition by scoring_version, scorecard_key, metric_key
            order by abs(correlation) desc, other_metric_key asc
        ) as correlation_rank
    from metric_correlations
),

final as (
    select
        moments.scoring_version,
        moments.scorecard_key,
        moments.metric_key,
        scorecard_metrics.category_key,
        {{ customer_health.round_score(
            'scorecard_metrics.category_weight * scorecard_metrics.metric_weight'
        ) }} as weight,
        discrimination.auc,
        discrimination.auc_low,
        discrimination.auc_high,
        cast(moments.present_count as bigint) as present_count,
        cast(moments.missing_count as bigint) as missing_count,
        {{ customer_health.round_score(customer_health.safe_divide(
            'moments.present_count', 'moments.present_count + moments.missing_count'
        )) }} as coverage,
        {{ customer_health.round_score('moments.mean_score') }} as mean_score,
        {{ customer_health.round_score(
            'case when moments.present_count > 0 then sqrt(greatest('
            ~ 'moments.mean_square - moments.mean_score * moments.mean_score, 0)) end'
        ) }} as score_spread,
        {% for side in ['present', 'missing'] %}
        cast(moments.{{ side }}_churned_count as bigint) as {{ side }}_churned_count,
        {{ customer_health.round_score(customer_health.safe_divide(
            'moments.' ~ side ~ '_churned_count', 'moments.' ~ side ~ '_count'
        )) }} as {{ side }}_churn_rate,
        {{ customer_health.round_score(customer_health.wilson_bound(
            'moments.' ~ side ~ '_churned_count', 'moments.' ~ side ~ '_count', 'low'
        )) }} as {{ side }}_rate_low,
        {{ customer_health.round_score(customer_health.wilson_bound(
            'moments.' ~ side ~ '_churned_count', 'moments.' ~ side ~ '_count', 'high'
        )) }} as {{ side }}_rate_high,
        {% endfor %}
        cast(metric_groups.correlation_group as bigint) as correlation_group,
        ranked_correlations.other_metric_key as most_correlated_metric_key,
        ranked_correlations.correlation
    from moments
    inner join scorecard_metrics
        on
            moments.scoring_version = scorecard_metrics.scoring_version
            and moments.scorecard_key = scorecard_metrics.scorecard_key
            and moments.metric_key = scorecard_metrics.metric_key
    left join metric_groups
        on
            moments.scoring_version = metric_groups.scoring_version
            and moments.scorecard_key = metric_groups.scorecard_key
            and moments.metric_key = metric_groups.metric_key
    left join ranked_correlations
        on
            moments.scoring_version = ranked_correlations.scoring_version
            and moments.scorecard_key = ranked_correlations.scorecard_key
            and moments.metric_key = ranked_correlations.metric_key
            and ranked_correlations.correlation_rank = 1
    left join discrimination
        on
            moments.scoring_version = discrimination.scoring_version
            and moments.scorecard_key = discrimination.scorecard_key
            and moments.metric_key = discrimination.predictor_key
)

select * from final
