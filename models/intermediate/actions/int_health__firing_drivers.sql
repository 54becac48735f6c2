-- Why an account stands where it stands on a day on which a playbook fires: the metrics that cost
-- most points, and those whose values moved most of them in 28 days, at the weights of that day.
-- The ledger of changes says more, and is kept for a shorter time than actions. The probability of
-- churn is left out: it is made of the others, and nobody can call a customer about it.
with

firing_days as (select * from {{ ref('int_health__firing_days') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

metric_losses as (select * from {{ ref('int_health__metric_losses') }}),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where purpose = 'health'
),

firing_dates as (
    select distinct
        firing_days.account_id,
        build_dates.as_of_date
    from firing_days
    inner join build_dates
        on firing_days.day_number = build_dates.day_number
),

points as (
    select
        metric_losses.account_id,
        metric_losses.as_of_date,
        metric_losses.metric_key,
        metric_losses.metric_label,
        metric_losses.metric_value,
        metric_losses.lost_points,
        metric_losses.most_points,
        metric_losses.metric_points,
        earlier_scores.metric_value as earlier_value,
        metric_losses.metric_points
        - metric_losses.most_points * earlier_scores.metric_score / 10 as change_points
    from firing_dates
    inner join metric_losses
        on
            firing_dates.account_id = metric_losses.account_id
            and firing_dates.as_of_date = metric_losses.as_of_date
    left join metric_scores as earlier_scores
        on
            metric_losses.account_id = earlier_scores.account_id
            and {{ customer_health.add_days('metric_losses.as_of_date', -28) }}
            = earlier_scores.as_of_date
            and metric_losses.metric_key = earlier_scores.metric_key
    where metric_losses.metric_key <> 'churn_probability'
),

ranked as (
    select
        *,
        row_number() over (
            partition by account_id, as_of_date
            order by {{ customer_health.round_score('lost_points') }} desc, metric_key asc
        ) as loss_rank,
        row_number() over (
            partition by account_id, as_of_date
            order by
                {{ customer_health.round_score('coalesce(change_points, 0)') }} asc,
                metric_key asc
        ) as fall_rank,
        row_number() over (
            partition by account_id, as_of_date
            order by
                {{ customer_health.round_score('coalesce(change_points, 0)') }} desc,
                metric_key asc
        ) as gain_rank
    from points
),

in_words as (
    select
        account_id,
        as_of_date,
        loss_rank,
        fall_rank,
        gain_rank,
        lost_points,
        change_points,
        metric_label || ' ' || {{ customer_health.decimal_text('metric_points', 1) }}
        || ' of ' || {{ customer_health.decimal_text('most_points', 1) }}
        || ' points (' || {{ customer_health.number_text('metric_value') }} || ')' as loss_text,
        case when change_points > 0 then '+' else '' end
        || {{ customer_health.decimal_text('change_points', 1) }}
        || ' points: ' || metric_label || ' '
        || {{ customer_health.number_text('earlier_value') }}
        || ' → ' || {{ customer_health.number_text('metric_value') }} as change_text
    from ranked
    where loss_rank <= 3 or fall_rank = 1 or gain_rank = 1
),

final as (
    select
        account_id,
        as_of_date,
        max(case when loss_rank = 1 and lost_points >= 0.05 then loss_text end)
        {%- for rank in (2, 3) %}
        || coalesce(
            max(case
                when loss_rank = {{ rank }} and lost_points >= 0.05 then '; ' || loss_text
            end),
            ''
        )
        {%- endfor %} as losses_text,
        max(case when loss_rank = 1 and lost_points >= 0.05 then loss_text end) as top_loss,
        max(case when fall_rank = 1 and change_points <= -0.05 then change_text end)
            as top_negative_driver,
        max(case when gain_rank = 1 and change_points >= 0.05 then change_text end)
            as top_positive_driver
    from in_words
    group by 1, 2
)

select * from final
