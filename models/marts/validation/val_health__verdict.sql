-- Does the score predict? One answer per version and scorecard, taken in the headline window from
-- observations that nothing of the version was chosen by.
{% set number = customer_health.number_text %}

with

observations as (select * from {{ ref('val_health__observations') }}),

discrimination as (select * from {{ ref('val_health__discrimination') }}),

validation_windows as (
    select *
    from {{ ref('validation_windows') }}
    where is_headline
),

limits as (select * from {{ ref('int_health__validation_limits') }}),

versions as (
    select distinct
        scoring_version,
        scorecard_key
    from observations
),

out_of_time as (
    select *
    from discrimination
    where
        slice_kind = 'period'
        and slice_value = 'out_of_time'
),

headline as (
    select *
    from out_of_time
    where is_headline
),

headline_scores as (
    select *
    from headline
    where
        predictor_kind = 'score'
        and predictor_key = 'health_score'
),

other_scores as (
    select
        scoring_version,
        scorecard_key,
        max(case when predictor_key = 'score_without_churn_risk' then auc end)
            as auc_without_churn_risk,
        max(case when predictor_key = 'equal_weights' then auc end) as auc_equal_weights
    from headline
    where predictor_kind = 'score'
    group by 1, 2
),

plan_stratified as (
    select *
    from discrimination
    where
        slice_kind = 'plan_stratified'
        and is_headline
        and predictor_key = 'health_score'
),

metrics as (
    select
        scoring_version,
        scorecard_key,
        predictor_key,
        auc,
        row_number() over (
            partition by scoring_version, scorecard_key order by auc desc, predictor_key asc
        ) as metric_number
    from headline
    where
        predictor_kind = 'metric'
        and auc is not null
),

-- the AUC of the next lead beside that of each; a cliff means that the score saw the end itself
leads as (
    select
        out_of_time.scoring_version,
        out_of_time.scorecard_key,
        out_of_time.lead_days,
        out_of_time.auc - lead(out_of_time.auc) over (
            partition by out_of_time.scoring_version, out_of_time.scorecard_key
            order by out_of_time.lead_days
        ) as lead_fall
    from out_of_time
    inner join validation_windows
        on out_of_time.horizon_days = validation_windows.horizon_days
    where
        out_of_time.predictor_kind = 'score'
        and out_of_time.predictor_key = 'health_score'
        and out_of_time.auc is not null
),

lead_falls as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        lead_fall,
        row_number() over (
            partition by scoring_version, scorecard_key order by lead_fall desc, lead_days asc
        ) as fall_number
    from leads
    where lead_fall is not null
),

joined as (
    select
        versions.scoring_version,
        versions.scorecard_key,
        validation_windows.lead_days,
        validation_windows.horizon_days,
        coalesce(headline_scores.observation_count, 0) as observation_count,
        coalesce(headline_scores.churned_observation_count, 0) as churned_observation_count,
        coalesce(headline_scores.account_count, 0) as account_count,
        coalesce(headline_scores.churner_count, 0) as churner_count,
        headline_scores.base_rate,
        headline_scores.auc,
        headline_scores.auc_low,
        headline_scores.auc_high,
        other_scores.auc_without_churn_risk,
        other_scores.auc_equal_weights,
        plan_stratified.auc as auc_plan_stratified,
        headline_scores.lift_at_10_percent,
        headline_scores.recall_at_capacity,
        metrics.predictor_key as best_metric_key,
        metrics.auc as best_metric_auc,
        {{ customer_health.round_score('lead_falls.lead_fall') }} as largest_lead_fall,
        lead_falls.lead_days as largest_lead_fall_from
    from versions
    cross join validation_windows
    left join headline_scores
        on
            versions.scoring_version = headline_scores.scoring_version
            and versions.scorecard_key = headline_scores.scorecard_key
    left join other_scores
        on
            versions.scoring_version = other_scores.scoring_version
            and versions.scorecard_key = other_scores.scorecard_key
    left join plan_stratified
        on
            versions.scoring_version = plan_stratified.scoring_version
            and versions.scorecard_key = plan_stratified.scorecard_key
    left join metrics
        on
            versions.scoring_version = metrics.scoring_version
            and versions.scorecard_key = metrics.scorecard_key
            and metrics.metric_number = 1
    left join lead_falls
        on
            versions.scoring_version = lead_falls.scoring_version
            and versions.scorecard_key = lead_falls.scorecard_key
            and lead_falls.fall_number = 1
),

judged as (
    select
        joined.*,
        coalesce(joined.auc > limits.suspicious_auc, false) as needs_leak_tests,
        coalesce(joined.best_metric_auc > limits.leaking_metric_auc, false) as has_leaking_metric,
        case
            when joined.auc is null then 'not_enough_outcomes'
            when joined.best_metric_auc > limits.leaking_metric_auc then 'suspicious'
            when joined.largest_lead_fall > limits.largest_lead_fall then 'suspicious'
            when joined.auc < limits.weak_auc or not coalesce(joined.auc_low > 0.5, false)
                then 'no_usable_signal'
            when joined.auc < limits.usable_auc then 'weak'
            else 'usable'
        end as verdict_key
    from joined
    cross join limits
),

worded as (
    select
        *,
        {{ number('churner_count') }} || ' churners among ' || {{ number('account_count') }}
        || ' accounts' as counts_text,
        'AUC ' || {{ number('auc') }} || ' (' || {{ number('auc_low') }} || ' to '
        || {{ number('auc_high') }} || ') for churn within ' || {{ number('horizon_days') }}
        || ' days, ' || {{ number('auc_without_churn_risk') }}
        || ' without the churn risk category' as auc_text,
        'the metric ' || best_metric_key || ' alone reaches an AUC of '
        || {{ number('best_metric_auc') }} as leak_text,
        'the AUC falls by ' || {{ number('largest_lead_fall') }} || ' from lead '
        || {{ number('largest_lead_fall_from') }} || ' days to the next' as cliff_text
    from judged
),

final as (
    select
        scoring_version,
        scorecard_key,
        cast(lead_days as bigint) as lead_days,
        cast(horizon_days as bigint) as horizon_days,
        'period' as slice_kind,
        'out_of_time' as slice_value,
        observation_count,
        churned_observation_count,
        account_count,
        churner_count,
        base_rate,
        auc,
        auc_low,
        auc_high,
        auc_without_churn_risk,
        auc_equal_weights,
        auc_plan_stratified,
        lift_at_10_percent,
        recall_at_capacity,
        best_metric_key,
        best_metric_auc,
        largest_lead_fall,
        largest_lead_fall_from,
        needs_leak_tests,
        verdict_key,
        case
            when verdict_key = 'not_enough_outcomes'
                then 'Not enough outcomes: ' || counts_text || '.'
            when verdict_key = 'suspicious' and has_leaking_metric
                then 'Suspicious: ' || leak_text || '; ' || auc_text || ', ' || counts_text || '.'
            when verdict_key = 'suspicious'
                then 'Suspicious: ' || cliff_text || '; ' || auc_text || ', ' || counts_text || '.'
            when verdict_key = 'no_usable_signal'
                then 'No usable signal: ' || auc_text || ', ' || counts_text || '.'
            when verdict_key = 'weak'
                then 'Weak: ' || auc_text || ', ' || counts_text || '.'
            else 'Usable: ' || auc_text || ', ' || counts_text || '.'
        end as verdict
    from worded
)

select * from final
