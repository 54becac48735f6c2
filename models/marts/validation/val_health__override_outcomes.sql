-- Whether the people who override bands know more than the score: what followed their overrides,
-- beside what followed in the same band on the same dates.
with

overrides as (
    select *
    from {{ ref('int_health__valid_crm_health_overrides') }}
    where
        reason is not null
        and author_id is not null
),

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

scorecard_bands as (select * from {{ ref('int_health__scorecard_bands') }}),

outcomes as (
    select *
    from {{ ref('int_health__outcomes') }}
    where outcome = 'churn'
),

base_outcomes as (select * from {{ ref('int_health__base_outcomes') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

first_dates as (
    select
        overrides.override_id,
        min(account_scores.as_of_date) as as_of_date
    from overrides
    inner join account_scores
        on
            overrides.account_id = account_scores.account_id
            and account_scores.as_of_date > cast(overrides.created_at as date)
            and account_scores.as_of_date <= cast(overrides.expires_at as date)
    group by 1
),

begun as (
    select
        overrides.override_id,
        overrides.account_id,
        overrides.author_id,
        first_dates.as_of_date,
        account_scores.raw_band,
        case
            when override_bands.band_rank > score_bands.band_rank then 'raised'
            when override_bands.band_rank < score_bands.band_rank then 'lowered'
            else 'same'
        end as direction
    from overrides
    inner join first_dates
        on overrides.override_id = first_dates.override_id
    inner join account_scores
        on
            overrides.account_id = account_scores.account_id
            and first_dates.as_of_date = account_scores.as_of_date
    inner join scorecard_bands as override_bands
        on
            account_scores.scoring_version = override_bands.scoring_version
            and account_scores.scorecard_key = override_bands.scorecard_key
            and overrides.band_key = override_bands.band_key
    inner join scorecard_bands as score_bands
        on
            account_scores.scoring_version = score_bands.scoring_version
            and account_scores.scorecard_key = score_bands.scorecard_key
            and account_scores.raw_band = score_bands.band_key
),

followed as (
    select
        begun.override_id,
        max(1) as is_churned
    from begun
    cross join limits
    inner join outcomes
        on
            begun.account_id = outcomes.account_id
            and begun.as_of_date <= outcomes.outcome_date
            and {{ customer_health.days_between(
                'begun.as_of_date', 'outcomes.outcome_date'
            ) }} < limits.probability_days
    group by 1
),

judged as (
    select
        begun.author_id,
        begun.direction,
        coalesce(followed.is_churned, 0) as is_churned,
        case
            when begun.direction = 'lowered' then coalesce(followed.is_churned, 0)
            when begun.direction = 'raised' then 1 - coalesce(followed.is_churned, 0)
        end as is_hit,
        {{ customer_health.safe_divide(
            'base_outcomes.churned_count', 'base_outcomes.account_count'
        ) }} as band_churn_rate
    from begun
    inner join base_outcomes
        on
            begun.as_of_date = base_outcomes.as_of_date
            and begun.raw_band = base_outcomes.raw_band
    left join followed
        on begun.override_id = followed.override_id
),

counted as (
    select
        author_id,
        direction,
        count(*) as judged_count,
        sum(is_churned) as churned_count,
        sum(is_hit) as hit_count,
        {{ customer_health.exact_sum('band_churn_rate') }} as expected_churned_count
    from judged
    group by 1, 2
),

final as (
    select
        author_id,
        direction,
        cast(judged_count as bigint) as judged_count,
        cast(churned_count as bigint) as churned_count,
        {{ customer_health.round_score(
            customer_health.safe_divide('churned_count', 'judged_count')
        ) }} as churn_rate,
        {{ customer_health.round_score(
            customer_health.safe_divide('expected_churned_count', 'judged_count')
        ) }} as band_churn_rate,
        cast(hit_count as bigint) as hit_count,
        {{ customer_health.round_score(
            customer_health.safe_divide('hit_count', 'judged_count')
        ) }} as hit_rate,
        {{ customer_health.round_score(
            customer_health.wilson_bound('hit_count', 'judged_count', 'low')
        ) }} as hit_rate_low,
        {{ customer_health.round_score(
            customer_health.wilson_bound('hit_count', 'judged_count', 'high')
        ) }} as hit_rate_high
    from counted
)

select * from final
