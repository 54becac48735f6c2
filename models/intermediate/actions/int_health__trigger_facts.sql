-- What the triggers of playbooks look at, beside the scores of metrics.
with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

spine as (select * from {{ ref('int_health__spine') }}),

-- dates before those of this run say which band an account came from
account_scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where
        as_of_date >= (
            select {{ customer_health.add_days('min(build_dates.as_of_date)', -60) }}
            from build_dates
        )
),

scorecard_scores as (
    select *
    from {{ ref('fct_health__scorecard_scores') }}
    where
        is_in_force
        and as_of_date >= (select min(build_dates.as_of_date) from build_dates)
),

scored_versions as (
    select *
    from {{ ref('int_health__scored_versions') }}
    where is_in_force
),

scorecard_bands as (select * from {{ ref('int_health__scorecard_bands') }}),

metrics as (select * from {{ ref('metrics') }}),

signals as (
    select *
    from {{ ref('int_health__signals') }}
    where metric_key in ('checkin_overdue_days', 'invoice_overdue_days', 'csm_sentiment')
),

champion_states as (select * from {{ ref('int_health__champion_states') }}),

-- a band that began while a data incident held all actions is news on the first day after it
with_last_judged as (
    select
        *,
        max(case when not has_data_incident then as_of_date end) over (
            partition by account_id
            order by as_of_date
            rows between unbounded preceding and 1 preceding
        ) as last_judged_date
    from account_scores
),

scores as (
    select with_last_judged.*
    from with_last_judged
    inner join build_dates
        on with_last_judged.as_of_date = build_dates.as_of_date
),

other_scores as (
    select
        account_id,
        as_of_date,
        max(case when purpose = 'onboarding' then health_score end) as onboarding_score,
        max(case when purpose = 'expansion' then health_score end) as expansion_score,
        max(case when purpose = 'conversion' then health_score end) as conversion_score
    from scorecard_scores
    group by 1, 2
),

signal_values as (
    select
        signals.account_id,
        signals.as_of_date,
        max(case when signals.metric_key = 'checkin_overdue_days' then signals.metric_value end)
            as checkin_overdue_days,
        max(case when signals.metric_key = 'invoice_overdue_days' then signals.metric_value end)
            as invoice_overdue_days,
        max(case when signals.metric_key = 'csm_sentiment' then signals.metric_value end)
            as csm_sentiment
    from signals
    inner join scored_versions
        on
            signals.as_of_date = scored_versions.as_of_date
            and signals.scoring_version = scored_versions.scoring_version
    inner join metrics
        on
            signals.scoring_version = metrics.scoring_version
            and signals.metric_key = metrics.metric_key
    where
        metrics.stale_after_days is null
        or {{ customer_health.days_between(
            'cast(signals.observed_at as date)', 'signals.as_of_date'
        ) }} <= metrics.stale_after_days
    group by 1, 2
),

-- the judgement of 1 to 5, stretched over 0 to 100, on the edges of the score's own bands
sentiment_bands as (
    select
        scores.account_id,
        scores.as_of_date,
        max(scorecard_bands.band_rank) as sentiment_rank
    from scores
    inner join signal_values
        on
            scores.account_id = signal_values.account_id
            and scores.as_of_date = signal_values.as_of_date
    inner join scorecard_bands
        on
            scores.scoring_version = scorecard_bands.scoring_version
            and scores.scorecard_key = scorecard_bands.scorecard_key
            and (signal_values.csm_sentiment - 1) * 25 >= scorecard_bands.lower_bound
    group by 1, 2
),

final as (
    select
        spine.account_id,
        spine.as_of_date,
        scores.scoring_version,
        scores.scorecard_key,
        spine.segment,
        spine.plan,
        spine.csm_id,
        spine.lifecycle_stage,
        spine.mrr_amount,
        spine.arr_amount,
        spine.renewal_date,
        {{ customer_health.days_between('spine.as_of_date', 'spine.renewal_date') }}
            as days_to_renewal,
        scores.health_score,
        scores.band,
        coalesce(scorecard_bands.band_label, 'Not enough data') as band_label,
        scorecard_bands.traffic_light,
        case
            when scores.band_reason in ('knockout', 'override') then scores.band_note
        end as band_exception,
        scores.band_since_date,
        scores.days_in_band,
        scores.band_since_date > coalesce(
            scores.last_judged_date, {{ customer_health.add_days('scores.as_of_date', -60) }}
        ) as is_band_new,
        scores.churn_probability,
        other_scores.onboarding_score,
        other_scores.expansion_score,
        other_scores.conversion_score,
        signal_values.checkin_overdue_days,
        signal_values.invoice_overdue_days,
        signal_values.csm_sentiment,
        abs(scorecard_bands.band_rank - sentiment_bands.sentiment_rank) as sentiment_gap_bands,
        champion_states.has_champion,
        {{ customer_health.days_between(
            'champion_states.champion_left_on', 'spine.as_of_date'
        ) }} as champion_gone_days,
        champion_states.champion_silent_days,
        coalesce(scores.has_data_incident, false) as has_data_incident
    from spine
    left join scores
        on
            spine.account_id = scores.account_id
            and spine.as_of_date = scores.as_of_date
    left join scorecard_bands
        on
            scores.scoring_version = scorecard_bands.scoring_version
            and scores.scorecard_key = scorecard_bands.scorecard_key
            and scores.band_rank = scorecard_bands.band_rank
    left join other_scores
        on
            spine.account_id = other_scores.account_id
            and spine.as_of_date = other_scores.as_of_date
    left join signal_values
        on
            spine.account_id = signal_values.account_id
            and spine.as_of_date = signal_values.as_of_date
    left join sentiment_bands
        on
            spine.account_id = sentiment_bands.account_id
            and spine.as_of_date = sentiment_bands.as_of_date
    left join champion_states
        on
            spine.account_id = champion_states.account_id
            and spine.as_of_date = champion_states.as_of_date
)

select * from final
