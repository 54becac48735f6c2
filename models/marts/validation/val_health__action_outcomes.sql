-- Did it help? Accounts after an action that was done, beside like accounts without one. Nobody
-- drew lots about who gets an action: whatever made a CSM act may explain the difference.
with

action_matches as (select * from {{ ref('int_health__action_matches') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

differences as (
    select
        playbook_key,
        compared_with,
        outcome,
        account_id,
        outcome_value,
        compared_value,
        compared_account_count,
        outcome_value - compared_value as difference
    from action_matches
    where compared_account_count > 0
),

-- an account with several actions is one witness, not several
per_account as (
    select
        playbook_key,
        compared_with,
        outcome,
        account_id,
        count(*) as action_count,
        {{ customer_health.safe_divide(customer_health.exact_sum('outcome_value'), 'count(*)') }}
            as outcome_value,
        {{ customer_health.safe_divide(customer_health.exact_sum('compared_value'), 'count(*)') }}
            as compared_value,
        {{ customer_health.safe_divide(customer_health.exact_sum('difference'), 'count(*)') }}
            as difference,
        min(compared_account_count) as compared_account_count
    from differences
    group by 1, 2, 3, 4
),

all_actions as (
    select
        playbook_key,
        compared_with,
        outcome,
        count(*) as done_count
    from action_matches
    group by 1, 2, 3
),

summed as (
    select
        playbook_key,
        compared_with,
        outcome,
        sum(action_count) as matched_count,
        count(*) as account_count,
        min(compared_account_count) as fewest_compared_accounts,
        {{ customer_health.exact_sum('outcome_value') }} as outcome_sum,
        {{ customer_health.exact_sum('compared_value') }} as compared_sum,
        {{ customer_health.exact_sum('difference') }} as difference_sum,
        {{ customer_health.exact_sum('difference * difference') }} as square_sum
    from per_account
    group by 1, 2, 3
),

with_means as (
    select
        *,
        {{ customer_health.safe_divide('outcome_sum', 'account_count') }} as action_mean,
        {{ customer_health.safe_divide('compared_sum', 'account_count') }} as compared_mean,
        {{ customer_health.safe_divide('difference_sum', 'account_count') }} as difference,
        {{ customer_health.student_quantile_95('account_count - 1') | indent(8) }} * sqrt(
            greatest({{ customer_health.safe_divide(
                'square_sum - ' ~ customer_health.safe_divide(
                    'difference_sum * difference_sum', 'account_count'
                ),
                'account_count * (account_count - 1)'
            ) }}, 0)
        ) as margin
    from summed
),

final as (
    select
        all_actions.playbook_key,
        all_actions.compared_with,
        all_actions.outcome,
        cast(all_actions.done_count as bigint) as done_count,
        cast(coalesce(with_means.matched_count, 0) as bigint) as matched_count,
        cast(coalesce(with_means.account_count, 0) as bigint) as account_count,
        cast(with_means.fewest_compared_accounts as bigint) as fewest_compared_accounts,
        {{ customer_health.round_score('with_means.action_mean') }} as action_mean,
        {{ customer_health.round_score('with_means.compared_mean') }} as compared_mean,
        {{ customer_health.round_score('with_means.difference') }} as difference,
        {{ customer_health.round_score('with_means.difference - with_means.margin') }}
            as difference_low,
        {{ customer_health.round_score('with_means.difference + with_means.margin') }}
            as difference_high,
        'observational' as evidence,
        case
            when coalesce(with_means.account_count, 0) < limits.fewest_actions
                then 'not enough actions'
            when with_means.difference - with_means.margin > 0 then 'higher after the action'
            when with_means.difference + with_means.margin < 0 then 'lower after the action'
            else 'no clear difference'
        end as reading
    from all_actions
    cross join limits
    left join with_means
        on
            all_actions.playbook_key = with_means.playbook_key
            and all_actions.compared_with = with_means.compared_with
            and all_actions.outcome = with_means.outcome
)

select * from final
