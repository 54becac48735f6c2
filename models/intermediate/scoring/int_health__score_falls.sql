-- Days on which the score of a metric fell for most accounts of a segment at once, and the days
-- after them on which it is still down. Metrics that count usage are left to
-- int_health__usage_incidents, which sees a missing day before a window of 30 days shows it.
{% set drop_points = customer_health.integer_var('incident_drop_points', minimum=1) %}
{% set dropped_accounts -%}
sum(
    case
        when later_scores.metric_score <= earlier_scores.metric_score - {{ drop_points }} then 1
        else 0
    end
)
{%- endset %}

with

reported_scores as (
    select *
    from {{ ref('int_health__reported_scores') }}
    where
        purpose = 'health'
        and as_of_date >= {{ customer_health.date_var('daily_from') }}
),

event_metrics as (select * from {{ ref('event_metrics') }}),

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

scores as (
    select
        reported_scores.account_id,
        reported_scores.as_of_date,
        reported_scores.scoring_version,
        reported_scores.scorecard_key,
        reported_scores.metric_key,
        reported_scores.metric_score,
        coalesce(accounts.segment, '') as segment
    from reported_scores
    inner join accounts
        on reported_scores.account_id = accounts.account_id
    left join event_metrics
        on
            reported_scores.scoring_version = event_metrics.scoring_version
            and reported_scores.metric_key = event_metrics.metric_key
    where event_metrics.metric_key is null
),

day_to_day as (
    select
        later_scores.as_of_date,
        later_scores.scoring_version,
        later_scores.metric_key,
        later_scores.segment,
        count(*) as account_count,
        {{ dropped_accounts | indent(8) }} as dropped_account_count
    from scores as later_scores
    inner join scores as earlier_scores
        on
            later_scores.account_id = earlier_scores.account_id
            and later_scores.scoring_version = earlier_scores.scoring_version
            and later_scores.scorecard_key = earlier_scores.scorecard_key
            and later_scores.metric_key = earlier_scores.metric_key
            and {{ customer_health.add_days('later_scores.as_of_date', -1) }}
            = earlier_scores.as_of_date
    group by 1, 2, 3, 4
),

onsets as (
    select
        as_of_date as began_on,
        scoring_version,
        metric_key,
        segment
    from day_to_day
    where {{ customer_health.is_incident('dropped_account_count', 'account_count') }}
),

-- each day from the onset on, against the last one before it
since_onset as (
    select
        later_scores.as_of_date,
        later_scores.scoring_version,
        later_scores.metric_key,
        later_scores.segment,
        earlier_scores.as_of_date as last_good_date,
        count(*) as account_count,
        {{ dropped_accounts | indent(8) }} as dropped_account_count
    from onsets
    inner join scores as later_scores
        on
            onsets.scoring_version = later_scores.scoring_version
            and onsets.metric_key = later_scores.metric_key
            and onsets.segment = later_scores.segment
            and onsets.began_on <= later_scores.as_of_date
            and {{ customer_health.add_days(
                'onsets.began_on', customer_health.integer_var('incident_hold_days')
            ) }} > later_scores.as_of_date
    inner join scores as earlier_scores
        on
            later_scores.account_id = earlier_scores.account_id
            and later_scores.scoring_version = earlier_scores.scoring_version
            and later_scores.scorecard_key = earlier_scores.scorecard_key
            and later_scores.metric_key = earlier_scores.metric_key
            and {{ customer_health.add_days('onsets.began_on', -1) }} = earlier_scores.as_of_date
    group by 1, 2, 3, 4, 5
),

-- a second fall during an incident belongs to it: the value before the first one is the good one
ranked_falls as (
    select
        *,
        row_number() over (
            partition by as_of_date, scoring_version, metric_key, segment
            order by last_good_date
        ) as fall_rank
    from since_onset
    where {{ customer_health.is_incident('dropped_account_count', 'account_count') }}
),

final as (
    select
        as_of_date,
        scoring_version,
        metric_key,
        segment,
        last_good_date,
        cast(account_count as bigint) as account_count,
        cast(dropped_account_count as bigint) as dropped_account_count
    from ranked_falls
    where fall_rank = 1
)

select * from final
