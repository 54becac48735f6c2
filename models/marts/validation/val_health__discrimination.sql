-- How well each predictor ranks accounts by their risk, with ties by expectation. Formulas and how
-- to read them: docs/validation.md, 2.
{% set key = [
    'scoring_version', 'scorecard_key', 'lead_days', 'horizon_days', 'is_headline', 'slice_kind',
    'slice_value', 'predictor_kind', 'predictor_key',
] %}
{% set z = customer_health.normal_quantile_95() %}

with

predictor_counts as (select * from {{ ref('int_health__predictor_counts') }}),

predictor_accounts as (select * from {{ ref('int_health__predictor_accounts') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

-- from the riskiest value on: how many stand before it, and how many stayers up to it
running as (
    select
        *,
        observation_count - churned_observation_count as stayed_observation_count,
        sum(observation_count) over (
            partition by {{ key | join(', ') }}
            order by predictor_value
            rows between unbounded preceding and current row
        ) - observation_count as riskier_count,
        sum(observation_count - churned_observation_count) over (
            partition by {{ key | join(', ') }}
            order by predictor_value
            rows between unbounded preceding and current row
        ) as stayed_so_far_count,
        sum(observation_count) over (partition by {{ key | join(', ') }}) as total_count
    from predictor_counts
),

-- the share of each value that belongs to the riskiest ones: of a tie that the limit cuts, so many
-- as a draw would take on average
shares as (
    select
        running.*,
        least(1, greatest(0, {{ customer_health.safe_divide(
            '0.1 * running.total_count - running.riskier_count', 'running.observation_count'
        ) }})) as share_at_10_percent,
        least(1, greatest(0, {{ customer_health.safe_divide(
            '0.2 * running.total_count - running.riskier_count', 'running.observation_count'
        ) }})) as share_at_20_percent,
        least(1, greatest(0, {{ customer_health.safe_divide(
            'limits.capacity_share * running.total_count - running.riskier_count', 'running.observation_count'
        ) }})) as share_at_capacity
    from running
    cross join limits
),

summed as (
    select
        {{ key | join(',\n        ') }},
        cast(sum(observation_count) as bigint) as observation_count,
        cast(sum(churned_observation_count) as bigint) as churned_observation_count,
        {{ customer_health.exact_sum('churned_arr_amount') }} as churned_arr_amount,
        -- pairs of a churner and a stayer in which the churner looks healthier, ties as half a pair
        0.5 * cast(
            sum(churned_observation_count * (2 * stayed_so_far_count - stayed_observation_count))
            as {{ customer_health.type_double() }}
        ) as lost_pair_count,
        cast(sum(churned_observation_count) as {{ customer_health.type_double() }})
        * sum(stayed_observation_count) as pair_count,
        {{ customer_health.exact_sum('churned_observation_count * share_at_10_percent') }}
            as caught_at_10_percent,
        {{ customer_health.exact_sum('churned_observation_count * share_at_20_percent') }}
            as caught_at_20_percent,
        {{ customer_health.exact_sum('churned_observation_count * share_at_capacity') }}
            as caught_at_capacity,
        {{ customer_health.exact_sum('churned_arr_amount * share_at_capacity') }}
            as caught_arr_at_capacity
    from shares
    group by {{ range(1, 10) | join(', ') }}
),

-- pairs within a plan only: what is left of the ranking when the size of the account says nothing
within_plans as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        'plan_stratified' as slice_kind,
        'all' as slice_value,
        predictor_kind,
        predictor_key,
        cast(sum(observation_count) as bigint) as observation_count,
        cast(sum(churned_observation_count) as bigint) as churned_observation_count,
        {{ customer_health.to_decimal('null') }} as churned_arr_amount,
        sum(lost_pair_count) as lost_pair_count,
        sum(pair_count) as pair_count,
        {{ customer_health.to_decimal('null') }} as caught_at_10_percent,
        {{ customer_health.to_decimal('null') }} as caught_at_20_percent,
        {{ customer_health.to_decimal('null') }} as caught_at_capacity,
        {{ customer_health.to_decimal('null') }} as caught_arr_at_capacity
    from summed
    where slice_kind = 'plan'
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9
),

sliced as (
    select * from summed
    union all
    select * from within_plans
),

ranked as (
    select
        sliced.*,
        predictor_accounts.account_count,
        predictor_accounts.churner_count,
        predictor_accounts.account_count - predictor_accounts.churner_count as stayer_count,
        predictor_accounts.churner_count >= limits.fewest_churners as has_enough_outcomes,
        1 - {{ customer_health.safe_divide('sliced.lost_pair_count', 'sliced.pair_count') }} as auc
    from sliced
    inner join predictor_accounts
        on
            sliced.scoring_version = predictor_accounts.scoring_version
            and sliced.scorecard_key = predictor_accounts.scorecard_key
            and sliced.lead_days = predictor_accounts.lead_days
            and sliced.horizon_days = predictor_accounts.horizon_days
            and case
                when sliced.slice_kind = 'plan_stratified' then 'all' else sliced.slice_kind
            end = predictor_accounts.slice_kind
            and sliced.slice_value = predictor_accounts.slice_value
            and sliced.predictor_kind = predictor_accounts.predictor_kind
            and sliced.predictor_key = predictor_accounts.predictor_key
    cross join limits
),

-- Hanley and McNeil 1982, of accounts: the months of one account are no witnesses of their own
with_variance as (
    select
        *,
        {{ customer_health.safe_divide(
            'auc * (1 - auc)'
            ~ ' + (churner_count - 1) * (auc / (2 - auc) - auc * auc)'
            ~ ' + (stayer_count - 1) * (2 * auc * auc / (1 + auc) - auc * auc)',
            'churner_count * stayer_count'
        ) }} as variance
    from ranked
),

-- at an AUC of 0 or 1 the variance is 0, and rounding may leave it just below
with_error as (
    select
        *,
        case when variance > 0 then sqrt(variance) when variance is not null then 0 end
            as standard_error
    from with_variance
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
        predictor_kind,
        predictor_key,
        observation_count,
        churned_observation_count,
        account_count,
        churner_count,
        {{ customer_health.round_score(customer_health.safe_divide(
            'churned_observation_count', 'observation_count'
        )) }} as base_rate,
        has_enough_outcomes,
        case when has_enough_outcomes then {{ customer_health.round_score('auc') }} end as auc,
        case
            when has_enough_outcomes and standard_error is not null
                then {{ customer_health.round_score(
                    'greatest(0, auc - ' ~ z ~ ' * standard_error)'
                ) }}
        end as auc_low,
        case
            when has_enough_outcomes and standard_error is not null
                then {{ customer_health.round_score(
                    'least(1, auc + ' ~ z ~ ' * standard_error)'
                ) }}
        end as auc_high,
        case when has_enough_outcomes then {{ customer_health.round_score(
            customer_health.safe_divide('caught_at_10_percent', '0.1 * churned_observation_count')
        ) }} end as lift_at_10_percent,
        case when has_enough_outcomes then {{ customer_health.round_score(
            customer_health.safe_divide('caught_at_20_percent', '0.2 * churned_observation_count')
        ) }} end as lift_at_20_percent,
        case when has_enough_outcomes then {{ customer_health.round_score(
            customer_health.safe_divide('caught_at_capacity', 'churned_observation_count')
        ) }} end as recall_at_capacity,
        case when has_enough_outcomes then {{ customer_health.round_score(
            customer_health.safe_divide('caught_arr_at_capacity', 'churned_arr_amount')
        ) }} end as arr_recall_at_capacity
    from with_error
)

select * from final
