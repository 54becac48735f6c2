-- What followed within the horizon, per date and band by the score alone: what an action or an
-- override is compared with. Only dates whose horizon is over.

with

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

outcomes as (select * from {{ ref('int_health__outcomes') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

judged as (
    select
        account_scores.account_id,
        account_scores.as_of_date,
        account_scores.raw_band,
        {{ customer_health.add_days(
            'account_scores.as_of_date', 'cast(limits.probability_days as integer)'
        ) }} as judged_until
    from account_scores
    cross join limits
    where
        {{ customer_health.add_days(
            'account_scores.as_of_date', 'cast(limits.probability_days as integer)'
        ) }} <= {{ customer_health.outcomes_known_before() }}
),

followed as (
    select
        judged.account_id,
        judged.as_of_date,
        max(case when outcomes.outcome = 'churn' then 1 else 0 end) as is_churned,
        max(case when outcomes.outcome = 'expansion' then 1 else 0 end) as is_expanded
    from judged
    inner join outcomes
        on
            judged.account_id = outcomes.account_id
            and judged.as_of_date <= outcomes.outcome_date
            and judged.judged_until > outcomes.outcome_date
    where outcomes.outcome in ('churn', 'expansion')
    group by 1, 2
),

final as (
    select
        judged.as_of_date,
        judged.raw_band,
        cast(count(*) as bigint) as account_count,
        cast(sum(coalesce(followed.is_churned, 0)) as bigint) as churned_count,
        cast(sum(coalesce(followed.is_expanded, 0)) as bigint) as expanded_count
    from judged
    left join followed
        on
            judged.account_id = followed.account_id
            and judged.as_of_date = followed.as_of_date
    group by 1, 2
)

select * from final
