-- How often a playbook was right: what followed its firings, beside what followed on the same dates
-- in the whole base.
with

firings as (select * from {{ ref('int_health__playbook_firings') }}),

actions as (select * from {{ ref('act_health__actions') }}),

outcomes as (select * from {{ ref('int_health__outcomes') }}),

base_outcomes as (select * from {{ ref('int_health__base_outcomes') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

base_rates as (
    select
        as_of_date,
        {{ customer_health.safe_divide('sum(churned_count)', 'sum(account_count)') }}
            as churn_rate,
        {{ customer_health.safe_divide('sum(expanded_count)', 'sum(account_count)') }}
            as expansion_rate
    from base_outcomes
    group by 1
),

followed as (
    select
        firings.action_id,
        max(case when outcomes.outcome = 'churn' then 1 else 0 end) as is_churned,
        max(case when outcomes.outcome = 'expansion' then 1 else 0 end) as is_expanded
    from firings
    cross join limits
    inner join outcomes
        on
            firings.account_id = outcomes.account_id
            and firings.as_of_date <= outcomes.outcome_date
            and {{ customer_health.days_between(
                'firings.as_of_date', 'outcomes.outcome_date'
            ) }} < limits.probability_days
    where outcomes.outcome in ('churn', 'expansion')
    group by 1
),

judged as (
    select
        firings.playbook_key,
        firings.is_draft,
        base_rates.churn_rate,
        base_rates.expansion_rate,
        case when base_rates.as_of_date is not null then 1 else 0 end as is_judged,
        coalesce(followed.is_churned, 0) as is_churned,
        coalesce(followed.is_expanded, 0) as is_expanded,
        case when actions.acknowledged_on is not null then 1 else 0 end as is_acknowledged,
        case when actions.done_on is not null then 1 else 0 end as is_done
    from firings
    left join base_rates
        on firings.as_of_date = base_rates.as_of_date
    left join followed
        on firings.action_id = followed.action_id
    left join actions
        on firings.action_id = actions.action_id
),

counted as (
    select
        playbook_key,
        is_draft,
        count(*) as firing_count,
        sum(is_acknowledged) as acknowledged_count,
        sum(is_done) as done_count,
        sum(is_judged) as judged_count,
        sum(is_judged * is_churned) as churned_count,
        sum(is_judged * is_expanded) as expanded_count,
        {{ customer_health.exact_sum('churn_rate') }} as expected_churned_count,
        {{ customer_health.exact_sum('expansion_rate') }} as expected_expanded_count
    from judged
    group by 1, 2
),

final as (
    select
        playbook_key,
        is_draft,
        cast(firing_count as bigint) as firing_count,
        cast(acknowledged_count as bigint) as acknowledged_count,
        cast(done_count as bigint) as done_count,
        cast(judged_count as bigint) as judged_count,
        {% for outcome, counted_as in (('churn', 'churned'), ('expansion', 'expanded')) %}
        cast({{ counted_as }}_count as bigint) as {{ counted_as }}_count,
        {{ customer_health.round_score(
            customer_health.safe_divide(counted_as ~ '_count', 'judged_count')
        ) }} as {{ outcome }}_rate,
        {{ customer_health.round_score(
            customer_health.wilson_bound(counted_as ~ '_count', 'judged_count', 'low')
        ) }} as {{ outcome }}_rate_low,
        {{ customer_health.round_score(
            customer_health.wilson_bound(counted_as ~ '_count', 'judged_count', 'high')
        ) }} as {{ outcome }}_rate_high,
        {{ customer_health.round_score(
            customer_health.safe_divide('expected_' ~ counted_as ~ '_count', 'judged_count')
        ) }} as base_{{ outcome }}_rate
        {%- if not loop.last %},{% endif %}
        {% endfor %}
    from counted
)

select * from final
