-- How much two metrics say the same: Pearson's correlation of their scores, because scores are what
-- weights add up. Each account counts once, with its last monthly score.
{% set z = customer_health.normal_quantile_95() %}

with

observations as (select * from {{ ref('val_health__observations') }}),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where purpose = 'health' and metric_score is not null
),

limits as (select * from {{ ref('int_health__validation_limits') }}),

last_observations as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        max(as_of_date) as as_of_date
    from observations
    group by 1, 2, 3
),

last_scores as (
    select
        last_observations.account_id,
        last_observations.scoring_version,
        last_observations.scorecard_key,
        metric_scores.metric_key,
        {{ customer_health.round_score('metric_scores.metric_score') }} as metric_score
    from last_observations
    inner join metric_scores
        on
            last_observations.account_id = metric_scores.account_id
            and last_observations.as_of_date = metric_scores.as_of_date
            and last_observations.scoring_version = metric_scores.scoring_version
            and last_observations.scorecard_key = metric_scores.scorecard_key
),

pair_sums as (
    select
        first_scores.scoring_version,
        first_scores.scorecard_key,
        first_scores.metric_key as first_metric_key,
        second_scores.metric_key as second_metric_key,
        count(*) as account_count,
        min(first_scores.metric_score) < max(first_scores.metric_score)
        and min(second_scores.metric_score) < max(second_scores.metric_score) as is_varied,
        {{ customer_health.exact_sum('first_scores.metric_score') }} as first_sum,
        {{ customer_health.exact_sum('second_scores.metric_score') }} as second_sum,
        {{ customer_health.exact_sum('first_scores.metric_score * first_scores.metric_score') }}
            as first_square_sum,
        {{ customer_health.exact_sum('second_scores.metric_score * second_scores.metric_score') }}
            as second_square_sum,
        {{ customer_health.exact_sum('first_scores.metric_score * second_scores.metric_score') }}
            as product_sum
    from last_scores as first_scores
    inner join last_scores as second_scores
        on
            first_scores.account_id = second_scores.account_id
            and first_scores.scoring_version = second_scores.scoring_version
            and first_scores.scorecard_key = second_scores.scorecard_key
            and first_scores.metric_key < second_scores.metric_key
    group by 1, 2, 3, 4
),

pair_moments as (
    select
        *,
        {{ customer_health.safe_divide('product_sum', 'account_count') }}
        - {{ customer_health.safe_divide('first_sum', 'account_count') }}
        * {{ customer_health.safe_divide('second_sum', 'account_count') }} as covariance,
        {{ customer_health.safe_divide('first_square_sum', 'account_count') }}
        - {{ customer_health.safe_divide('first_sum', 'account_count') }}
        * {{ customer_health.safe_divide('first_sum', 'account_count') }} as first_variance,
        {{ customer_health.safe_divide('second_square_sum', 'account_count') }}
        - {{ customer_health.safe_divide('second_sum', 'account_count') }}
        * {{ customer_health.safe_divide('second_sum', 'account_count') }} as second_variance
    from pair_sums
),

pair_correlations as (
    select
        pair_moments.scoring_version,
        pair_moments.scorecard_key,
        pair_moments.first_metric_key,
        pair_moments.second_metric_key,
        pair_moments.account_count,
        case
            when
                pair_moments.is_varied
                and pair_moments.account_count >= limits.fewest_correlated_accounts
                and pair_moments.first_variance > 0 and pair_moments.second_variance > 0
                then least(1, greatest(-1, {{ customer_health.round_score(
                    customer_health.safe_divide(
                        'pair_moments.covariance',
                        'sqrt(pair_moments.first_variance * pair_moments.second_variance)'
                    )
                ) }}))
        end as correlation
    from pair_moments
    cross join limits
),

both_orders as (
    select
        scoring_version,
        scorecard_key,
        first_metric_key as metric_key,
        second_metric_key as other_metric_key,
        account_count,
        correlation
    from pair_correlations

    union all

    select
        scoring_version,
        scorecard_key,
        second_metric_key as metric_key,
        first_metric_key as other_metric_key,
        account_count,
        correlation
    from pair_correlations
),

-- Fisher's interval: atanh of the correlation is about normal
transformed as (
    select
        *,
        case
            when abs(correlation) < 1
                then 0.5 * ln(
                    {{ customer_health.safe_divide('1 + correlation', '1 - correlation') }}
                )
        end as fisher_z,
        case
            when account_count > 3
                then {{ z }} / sqrt(cast(account_count - 3 as {{ customer_health.type_double() }}))
        end as half_width
    from both_orders
),

final as (
    select
        transformed.scoring_version,
        transformed.scorecard_key,
        transformed.metric_key,
        transformed.other_metric_key,
        cast(transformed.account_count as bigint) as account_count,
        transformed.correlation,
        {{ customer_health.round_score(
            '1 - 2 / (exp(2 * (transformed.fisher_z - transformed.half_width)) + 1)'
        ) }} as correlation_low,
        {{ customer_health.round_score(
            '1 - 2 / (exp(2 * (transformed.fisher_z + transformed.half_width)) + 1)'
        ) }} as correlation_high,
        coalesce(transformed.correlation >= limits.same_group_correlation, false) as is_same_group
    from transformed
    cross join limits
)

select * from final
