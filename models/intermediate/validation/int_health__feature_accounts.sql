-- Whose use of features is compared: of every outcome each account once, on a date of its own. All
-- are looked at over a window of the same length, and accounts without the outcome on the dates of
-- those with it, so that nobody had more time to find a feature.
with

labelled_observations as (
    select *
    from {{ ref('int_health__labelled_observations') }}
    where is_headline
),

observations as (select * from {{ ref('val_health__observations') }}),

usage_account_days as (select * from {{ ref('int_health__usage_account_days') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

usage_start as (
    select min(usage_date) as first_usage_date
    from usage_account_days
),

tenures as (
    select
        account_id,
        as_of_date,
        max(tenure_days) as tenure_days
    from observations
    group by 1, 2
),

-- what followed does not depend on the version
eligible as (
    select
        labelled_observations.account_id,
        labelled_observations.as_of_date,
        max(labelled_observations.plan) as plan,
        max(labelled_observations.is_churned) as is_churned,
        max(labelled_observations.is_renewed) as is_renewed,
        max(labelled_observations.is_expanded) as is_expanded
    from labelled_observations
    inner join tenures
        on
            labelled_observations.account_id = tenures.account_id
            and labelled_observations.as_of_date = tenures.as_of_date
    cross join limits
    cross join usage_start
    where
        tenures.tenure_days >= limits.adoption_days
        and {{ customer_health.days_between(
            'usage_start.first_usage_date', 'labelled_observations.as_of_date'
        ) }} >= limits.adoption_days
        and {{ customer_health.days_between(
            'labelled_observations.as_of_date', customer_health.as_of_date()
        ) }} <= limits.adoption_history_days
    group by 1, 2
),

-- is_rare marks the group whose dates are taken; a renewal is judged where a term came to its end
questions as (
    select
        account_id,
        as_of_date,
        plan,
        'churn' as outcome,
        is_churned as is_rare
    from eligible

    union all

    select
        account_id,
        as_of_date,
        plan,
        'renewal' as outcome,
        is_churned as is_rare
    from eligible
    where is_renewed = 1 or is_churned = 1

    union all

    select
        account_id,
        as_of_date,
        plan,
        'expansion' as outcome,
        is_expanded as is_rare
    from eligible
),

-- the first month that the outcome followed: the farthest from what the outcome itself changes
rare_accounts as (
    select
        account_id,
        outcome,
        min(as_of_date) as as_of_date
    from questions
    where is_rare = 1
    group by 1, 2
),

rare_dates as (
    select
        outcome,
        as_of_date,
        count(*) as account_count
    from rare_accounts
    group by 1, 2
),

candidates as (
    select
        questions.account_id,
        questions.outcome,
        questions.as_of_date,
        questions.plan,
        rare_dates.account_count
    from questions
    inner join rare_dates
        on
            questions.outcome = rare_dates.outcome
            and questions.as_of_date = rare_dates.as_of_date
    left join rare_accounts
        on
            questions.account_id = rare_accounts.account_id
            and questions.outcome = rare_accounts.outcome
    where rare_accounts.account_id is null
),

-- a number that has nothing to do with the account deals the dates out, in their proportion
candidate_accounts as (
    select
        account_id,
        outcome,
        sum(account_count) as date_weight
    from candidates
    group by 1, 2
),

dealt as (
    select
        account_id,
        outcome,
        mod(
            row_number() over (
                partition by outcome
                order by {{ dbt.hash('account_id') }}, account_id
            ) - 1,
            cast(date_weight as bigint)
        ) as draw
    from candidate_accounts
),

running as (
    select
        *,
        sum(account_count) over (
            partition by account_id, outcome
            order by as_of_date
            rows between unbounded preceding and current row
        ) as weight_to
    from candidates
),

other_accounts as (
    select
        running.account_id,
        running.outcome,
        running.as_of_date,
        running.plan
    from running
    inner join dealt
        on
            running.account_id = dealt.account_id
            and running.outcome = dealt.outcome
            and running.weight_to > dealt.draw
            and running.weight_to - running.account_count <= dealt.draw
),

final as (
    select
        rare_accounts.account_id,
        rare_accounts.outcome,
        rare_accounts.as_of_date,
        eligible.plan,
        rare_accounts.outcome <> 'renewal' as has_outcome
    from rare_accounts
    inner join eligible
        on
            rare_accounts.account_id = eligible.account_id
            and rare_accounts.as_of_date = eligible.as_of_date

    union all

    select
        account_id,
        outcome,
        as_of_date,
        plan,
        outcome = 'renewal' as has_outcome
    from other_accounts
)

select * from final
