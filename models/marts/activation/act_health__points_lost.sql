-- Where product and customer success should invest: points that each metric costs the whole base,
-- weighed with the ARR of the accounts that lose them.
with

account_scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where as_of_date = {{ customer_health.as_of_date() }}
),

metric_losses as (
    select *
    from {{ ref('int_health__metric_losses') }}
    where
        as_of_date = {{ customer_health.as_of_date() }}
        and metric_key <> 'churn_probability'
),

metric_playbooks as (select * from {{ ref('int_health__metric_playbooks') }}),

summed as (
    select
        metric_losses.as_of_date,
        metric_losses.scoring_version,
        metric_losses.category_key,
        metric_losses.metric_key,
        metric_losses.metric_label,
        count(*) as account_count,
        {{ customer_health.exact_sum('account_scores.arr_amount') }} as arr_amount,
        {{ customer_health.exact_sum('metric_losses.lost_points') }} as lost_points,
        {{ customer_health.exact_sum(
            'metric_losses.lost_points * coalesce(account_scores.arr_amount, 0) / 100'
        ) }} as lost_arr_points
    from metric_losses
    inner join account_scores
        on metric_losses.account_id = account_scores.account_id
    group by 1, 2, 3, 4, 5
),

final as (
    select
        summed.as_of_date,
        summed.scoring_version,
        summed.category_key,
        summed.metric_key,
        summed.metric_label,
        cast(summed.account_count as bigint) as account_count,
        cast(summed.arr_amount as {{ customer_health.type_double() }}) as arr_amount,
        {{ customer_health.round_score('summed.lost_points') }} as lost_points,
        {{ customer_health.round_score(
            customer_health.safe_divide('summed.lost_points', 'summed.account_count')
        ) }} as mean_lost_points,
        {{ customer_health.round_score('summed.lost_arr_points') }} as lost_arr_points,
        cast(row_number() over (
            partition by summed.scoring_version
            order by summed.lost_arr_points desc, summed.metric_key asc
        ) as bigint) as investment_rank,
        metric_playbooks.playbook_key
    from summed
    left join metric_playbooks
        on
            summed.scoring_version = metric_playbooks.scoring_version
            and summed.metric_key = metric_playbooks.metric_key
)

select * from final
