with

metric_dates as (select * from {{ ref('int_health__metric_dates') }}),

survey_responses as (select * from {{ ref('int_health__valid_survey_responses') }}),

csat_answers as (select * from {{ ref('int_health__csat_answers') }}),

answers as (
    select
        'csat' as metric_key,
        account_id,
        answered_at,
        answer_score
    from csat_answers

    union all

    select
        'nps' as metric_key,
        account_id,
        responded_at as answered_at,
        10 * {{ customer_health.safe_divide('score - scale_min', 'scale_max - scale_min') }}
            as answer_score
    from survey_responses
    where survey_type = 'nps'
),

weighted_answers as (
    select
        answers.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        metric_dates.prior_value,
        metric_dates.prior_strength,
        answers.answered_at,
        answers.answer_score,
        power(
            cast(0.5 as {{ customer_health.type_double() }}),
            {{ customer_health.safe_divide(
                customer_health.days_between(
                    'cast(answers.answered_at as date)', 'metric_dates.as_of_date'
                ),
                'metric_dates.half_life_days'
            ) }}
        ) as weight
    from metric_dates
    inner join answers
        on
            metric_dates.metric_key = answers.metric_key
            and metric_dates.as_of_date > cast(answers.answered_at as date)
            and metric_dates.window_from <= cast(answers.answered_at as date)
),

-- shrunk toward a prior, fading with age: one 10/10 answer is not a 10
final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        {{ customer_health.safe_divide(
            customer_health.exact_sum('coalesce(weight, 1) * answer_score')
            ~ ' + max(coalesce(prior_strength, 0) * coalesce(prior_value, 0))',
            customer_health.exact_sum('coalesce(weight, 1)') ~ ' + max(coalesce(prior_strength, 0))'
        ) }} as metric_value,
        max(answered_at) as observed_at,
        cast(count(*) as bigint) as sample_size,
        'observed' as value_state
    from weighted_answers
    group by 1, 2, 3, 4
)

select * from final
