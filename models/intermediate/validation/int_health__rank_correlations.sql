-- Spearman's correlation of the scores of a month with those of the same accounts 7 days earlier.
with

score_history as (select * from {{ ref('int_health__score_history') }}),

monthly_scores as (
    select *
    from {{ ref('int_health__monthly_scores') }}
    where health_score_exact is not null
),

pairs as (
    select
        monthly_scores.account_id,
        monthly_scores.scoring_version,
        monthly_scores.scorecard_key,
        monthly_scores.as_of_date,
        monthly_scores.health_score_exact as score,
        score_history.health_score_exact as earlier_score
    from monthly_scores
    inner join score_history
        on
            monthly_scores.account_id = score_history.account_id
            and monthly_scores.scoring_version = score_history.scoring_version
            and monthly_scores.scorecard_key = score_history.scorecard_key
            and {{ customer_health.add_days('monthly_scores.as_of_date', -7) }}
            = score_history.as_of_date
    where score_history.health_score_exact is not null
),

-- the same scores share the mean of their ranks; twice the rank is a whole number
ranked as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        2 * rank() over (
            partition by scoring_version, scorecard_key, as_of_date
            order by score
        ) + count(*) over (
            partition by scoring_version, scorecard_key, as_of_date, score
        ) - 1 as score_rank,
        2 * rank() over (
            partition by scoring_version, scorecard_key, as_of_date
            order by earlier_score
        ) + count(*) over (
            partition by scoring_version, scorecard_key, as_of_date, earlier_score
        ) - 1 as earlier_score_rank
    from pairs
),

sums as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        cast(count(*) as {{ customer_health.type_double() }}) as pair_count,
        {{ customer_health.exact_sum('score_rank * score_rank') }} as square_sum,
        {{ customer_health.exact_sum('earlier_score_rank * earlier_score_rank') }}
            as earlier_square_sum,
        {{ customer_health.exact_sum('score_rank * earlier_score_rank') }} as product_sum,
        -- ranks always add up to the same: n (n + 1) / 2, twice that here
        cast(count(*) as {{ customer_health.type_double() }}) + 1 as mean_rank
    from ranked
    group by 1, 2, 3
),

final as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        cast(pair_count as bigint) as pair_count,
        {{ customer_health.round_score(customer_health.safe_divide(
            'product_sum - pair_count * mean_rank * mean_rank',
            'sqrt((square_sum - pair_count * mean_rank * mean_rank)'
            ~ ' * (earlier_square_sum - pair_count * mean_rank * mean_rank))'
        )) }} as rank_correlation
    from sums
)

select * from final
