with

accounts as (select * from {{ ref('dim_health__accounts') }}),

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

scorecard_scores as (
    select *
    from {{ ref('fct_health__scorecard_scores') }}
    where
        as_of_date = {{ customer_health.as_of_date() }}
        and is_in_force
),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where purpose = 'health'
),

score_changes as (
    select *
    from {{ ref('fct_health__score_changes') }}
    where lag_key = '28'
),

scorecard_bands as (select * from {{ ref('int_health__scorecard_bands') }}),

survey_responses as (select * from {{ ref('int_health__valid_survey_responses') }}),

last_dates as (
    select
        account_id,
        max(as_of_date) as as_of_date
    from account_scores
    where as_of_date <= {{ customer_health.as_of_date() }}
    group by 1
),

-- the last score of every account, of today or of the day on which it stopped being scored
last_scores as (
    select account_scores.*
    from account_scores
    inner join last_dates
        on
            account_scores.account_id = last_dates.account_id
            and account_scores.as_of_date = last_dates.as_of_date
),

earlier_scores as (
    select
        last_scores.account_id,
        max(case
            when account_scores.as_of_date
                = {{ customer_health.add_days('last_scores.as_of_date', -7) }}
                then account_scores.health_score
        end) as health_score_7_days_ago,
        max(case
            when account_scores.as_of_date
                = {{ customer_health.add_days('last_scores.as_of_date', -28) }}
                then account_scores.health_score
        end) as health_score_28_days_ago
    from last_scores
    inner join account_scores
        on
            last_scores.account_id = account_scores.account_id
            and account_scores.as_of_date in (
                {{ customer_health.add_days('last_scores.as_of_date', -7) }},
                {{ customer_health.add_days('last_scores.as_of_date', -28) }}
            )
    group by 1
),

ranked_drivers as (
    select
        score_changes.account_id,
        score_changes.driver_text,
        score_changes.change_points,
        row_number() over (
            partition by score_changes.account_id
            order by score_changes.change_points desc, score_changes.metric_key asc
        ) as gain_rank,
        row_number() over (
            partition by score_changes.account_id
            order by score_changes.change_points asc, score_changes.metric_key asc
        ) as loss_rank
    from score_changes
    inner join last_dates
        on
            score_changes.account_id = last_dates.account_id
            and score_changes.as_of_date = last_dates.as_of_date
),

drivers as (
    select
        account_id,
        max(case when gain_rank = 1 and change_points > 0 then driver_text end)
            as top_positive_driver,
        max(case when loss_rank = 1 and change_points < 0 then driver_text end)
            as top_negative_driver
    from ranked_drivers
    group by 1
),

missing as (
    select
        metric_scores.account_id,
        {{ customer_health.sorted_list('metric_scores.metric_label', ', ') }} as missing_metrics
    from metric_scores
    inner join last_dates
        on
            metric_scores.account_id = last_dates.account_id
            and metric_scores.as_of_date = last_dates.as_of_date
    where metric_scores.value_state = 'unknown'
    group by 1
),

other_scores as (
    select
        account_id,
        max(case when purpose = 'onboarding' then health_score end) as onboarding_score,
        max(case when purpose = 'expansion' then health_score end) as expansion_score,
        max(case when purpose = 'conversion' then health_score end) as conversion_score
    from scorecard_scores
    group by 1
),

-- shown beside the score, never part of it: promoters answer 9-10, detractors 0-6
nps as (
    select
        account_id,
        100 * {{ customer_health.safe_divide(
            'sum(case when score >= 9 then 1 when score <= 6 then -1 else 0 end)', 'count(*)'
        ) }} as nps_promoter_minus_detractor
    from survey_responses
    where
        survey_type = 'nps'
        and scale_min = 0
        and scale_max = 10
        and cast(responded_at as date) < {{ customer_health.as_of_date() }}
        and cast(responded_at as date)
        >= {{ customer_health.add_days(customer_health.as_of_date(), -365) }}
    group by 1
),

final as (
    select
        accounts.account_id,
        accounts.account_name,
        accounts.parent_account_id,
        accounts.segment,
        accounts.plan,
        accounts.region,
        accounts.csm_id,
        accounts.lifecycle_stage,
        last_scores.account_id is not null and not accounts.is_scored as is_frozen,
        last_scores.as_of_date,
        last_scores.scorecard_key,
        last_scores.scoring_version,
        last_scores.health_score,
        last_scores.health_score_exact,
        last_scores.band,
        coalesce(scorecard_bands.band_label, 'Not enough data') as band_label,
        coalesce(scorecard_bands.traffic_light, 'grey') as traffic_light,
        last_scores.raw_band,
        last_scores.band_reason,
        last_scores.band_note,
        last_scores.days_in_band,
        last_scores.coverage,
        last_scores.connected_weight,
        last_scores.score_low,
        last_scores.score_high,
        earlier_scores.health_score_7_days_ago,
        earlier_scores.health_score_28_days_ago,
        last_scores.health_score - earlier_scores.health_score_28_days_ago
            as health_score_change_28_days,
        drivers.top_positive_driver,
        drivers.top_negative_driver,
        missing.missing_metrics,
        accounts.mrr_amount,
        accounts.arr_amount,
        accounts.currency_code,
        accounts.renewal_date,
        {{ customer_health.days_between(customer_health.as_of_date(), 'accounts.renewal_date') }}
            as days_to_renewal,
        accounts.churn_date,
        last_scores.churn_probability,
        last_scores.churn_probability_method,
        other_scores.onboarding_score,
        other_scores.expansion_score,
        other_scores.conversion_score,
        nps.nps_promoter_minus_detractor,
        last_scores.has_data_incident
    from accounts
    left join last_scores
        on accounts.account_id = last_scores.account_id
    left join earlier_scores
        on accounts.account_id = earlier_scores.account_id
    left join drivers
        on accounts.account_id = drivers.account_id
    left join missing
        on accounts.account_id = missing.account_id
    left join other_scores
        on accounts.account_id = other_scores.account_id
    left join nps
        on accounts.account_id = nps.account_id
    left join scorecard_bands
        on
            last_scores.scoring_version = scorecard_bands.scoring_version
            and last_scores.scorecard_key = scorecard_bands.scorecard_key
            and last_scores.band_rank = scorecard_bands.band_rank
)

select * from final
