-- Which features go with staying, renewing and growing. What is seen is not what a feature does:
-- accounts choose their features themselves.
with

feature_accounts as (select * from {{ ref('int_health__feature_accounts') }}),

feature_adoption as (select * from {{ ref('int_health__feature_adoption') }}),

product_features as (select * from {{ ref('int_health__valid_product_features') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

-- a feature without plans is open to every plan
feature_plans as (
    select distinct
        feature_key,
        plan
    from product_features
    where feature_key is not null
),

open_features as (
    select distinct feature_key
    from feature_plans
    where plan is null
),

used_or_offered as (
    select
        feature_key,
        0 as is_in_catalogue
    from feature_adoption

    union all

    select
        feature_key,
        1 as is_in_catalogue
    from feature_plans
),

features as (
    select
        feature_key,
        max(is_in_catalogue) as is_in_catalogue
    from used_or_offered
    group by 1
),

plan_accounts as (
    select
        outcome,
        plan,
        count(*) as account_count,
        sum(case when has_outcome then 1 else 0 end) as outcome_account_count
    from feature_accounts
    group by 1, 2
),

-- plans that could use the feature: those that include it, or all where none is named
feature_plan_accounts as (
    select
        features.feature_key,
        plan_accounts.outcome,
        plan_accounts.plan,
        plan_accounts.account_count,
        plan_accounts.outcome_account_count
    from features
    cross join plan_accounts
    left join open_features
        on features.feature_key = open_features.feature_key
    left join feature_plans
        on
            features.feature_key = feature_plans.feature_key
            and plan_accounts.plan = feature_plans.plan
    where
        features.is_in_catalogue = 0
        or open_features.feature_key is not null
        or feature_plans.plan is not null
),

plan_adopters as (
    select
        feature_key,
        outcome,
        plan,
        count(*) as adopter_count,
        sum(case when has_outcome then 1 else 0 end) as outcome_adopter_count
    from feature_adoption
    group by 1, 2, 3
),

counts as (
    select
        feature_plan_accounts.feature_key,
        feature_plan_accounts.outcome,
        sum(feature_plan_accounts.outcome_account_count) as with_count,
        sum(coalesce(plan_adopters.outcome_adopter_count, 0)) as with_adopter_count,
        sum(feature_plan_accounts.account_count - feature_plan_accounts.outcome_account_count)
            as without_count,
        sum(coalesce(plan_adopters.adopter_count - plan_adopters.outcome_adopter_count, 0))
            as without_adopter_count
    from feature_plan_accounts
    left join plan_adopters
        on
            feature_plan_accounts.feature_key = plan_adopters.feature_key
            and feature_plan_accounts.outcome = plan_adopters.outcome
            and feature_plan_accounts.plan = plan_adopters.plan
    group by 1, 2
),

shares as (
    select
        counts.*,
        least(counts.with_count, counts.without_count) >= limits.fewest_churners
            as has_enough_outcomes,
        {{ customer_health.safe_divide('with_adopter_count', 'with_count') }} as with_share,
        {{ customer_health.safe_divide('without_adopter_count', 'without_count') }}
            as without_share,
        {{ customer_health.safe_divide(
            'with_adopter_count + without_adopter_count', 'with_count + without_count'
        ) }} as pooled_share,
        {{ customer_health.wilson_bound('with_adopter_count', 'with_count', 'low') }} as with_low,
        {{ customer_health.wilson_bound('with_adopter_count', 'with_count', 'high') }} as with_high,
        {{ customer_health.wilson_bound('without_adopter_count', 'without_count', 'low') }}
            as without_low,
        {{ customer_health.wilson_bound('without_adopter_count', 'without_count', 'high') }}
            as without_high
    from counts
    cross join limits
),

-- Newcombe's interval (1998, method 10) from two of Wilson's; the z-test of two shares
tested as (
    select
        *,
        with_share - without_share as difference,
        sqrt(
            (with_share - with_low) * (with_share - with_low)
            + (without_high - without_share) * (without_high - without_share)
        ) as width_below,
        sqrt(
            (with_high - with_share) * (with_high - with_share)
            + (without_share - without_low) * (without_share - without_low)
        ) as width_above,
        case
            when has_enough_outcomes
                then coalesce({{ customer_health.safe_divide(
                    'with_share - without_share',
                    'sqrt(pooled_share * (1 - pooled_share) * ('
                    ~ customer_health.safe_divide('1', 'with_count') ~ ' + '
                    ~ customer_health.safe_divide('1', 'without_count') ~ '))'
                ) }}, 0)
        end as z
    from shares
),

with_p_values as (
    select
        *,
        {{ customer_health.normal_tail('z') }} as p_value
    from tested
),

-- Benjamini and Hochberg 1995, over all features and outcomes of the table
ranked as (
    select
        *,
        case
            when p_value is not null
                then p_value * {{ customer_health.safe_divide(
                    'count(p_value) over ()',
                    'row_number() over (order by p_value asc nulls last, feature_key asc, outcome asc)'
                ) }}
        end as raw_q_value,
        row_number() over (order by p_value asc nulls last, feature_key asc, outcome asc) as p_rank
    from with_p_values
),

controlled as (
    select
        *,
        case
            when p_value is not null
                then least(1, min(raw_q_value) over (
                    order by p_rank desc
                    rows between unbounded preceding and current row
                ))
        end as q_value
    from ranked
),

final as (
    select
        controlled.feature_key,
        controlled.outcome,
        cast(controlled.with_count as bigint) as with_count,
        cast(controlled.with_adopter_count as bigint) as with_adopter_count,
        {{ customer_health.round_score('controlled.with_share') }} as with_share,
        cast(controlled.without_count as bigint) as without_count,
        cast(controlled.without_adopter_count as bigint) as without_adopter_count,
        {{ customer_health.round_score('controlled.without_share') }} as without_share,
        coalesce(controlled.has_enough_outcomes, false) as has_enough_outcomes,
        {{ customer_health.round_score(
            'case when controlled.has_enough_outcomes then controlled.difference end'
        ) }} as difference,
        {{ customer_health.round_score(
            'case when controlled.has_enough_outcomes'
            ~ ' then controlled.difference - controlled.width_below end'
        ) }} as difference_low,
        {{ customer_health.round_score(
            'case when controlled.has_enough_outcomes'
            ~ ' then controlled.difference + controlled.width_above end'
        ) }} as difference_high,
        {{ customer_health.round_score('controlled.p_value') }} as p_value,
        {{ customer_health.round_score('controlled.q_value') }} as q_value,
        coalesce(controlled.q_value <= limits.false_discovery_rate, false) as is_different,
        'observational: adoption was not assigned, so the difference may come from what these'
        || ' accounts are' as remark
    from controlled
    cross join limits
)

select * from final
