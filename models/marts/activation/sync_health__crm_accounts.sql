{% set payload_columns = [
    'account_id', 'health_score', 'band', 'band_reason', 'band_note', 'lifecycle_stage',
    'health_score_change_28_days', 'trend', 'top_positive_driver', 'top_negative_driver',
    'next_action', 'next_action_due_date', 'expansion_score', 'renewal_date', 'renewal_risk',
    'scoring_version'
] %}

with

account_360 as (select * from {{ ref('bi_health__account_360') }}),

account_scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where as_of_date <= {{ customer_health.as_of_date() }}
),

scorecards as (select * from {{ ref('scorecards') }}),

actions as (
    select *
    from {{ ref('act_health__actions') }}
    where is_open
),

with_previous as (
    select
        account_id,
        as_of_date,
        health_score,
        band,
        band_reason,
        lifecycle_stage,
        lag(as_of_date) over (partition by account_id order by as_of_date) as previous_date,
        lag(health_score) over (partition by account_id order by as_of_date)
            as previous_health_score,
        lag(band) over (partition by account_id order by as_of_date) as previous_band,
        lag(band_reason) over (partition by account_id order by as_of_date)
            as previous_band_reason,
        lag(lifecycle_stage) over (partition by account_id order by as_of_date)
            as previous_lifecycle_stage
    from account_scores
),

last_changes as (
    select
        account_id,
        max(as_of_date) as payload_changed_on
    from with_previous
    where
        previous_date is null
        or {{ customer_health.is_distinct('health_score', 'previous_health_score') }}
        or {{ customer_health.is_distinct('band', 'previous_band') }}
        or {{ customer_health.is_distinct('band_reason', 'previous_band_reason') }}
        or {{ customer_health.is_distinct('lifecycle_stage', 'previous_lifecycle_stage') }}
    group by 1
),

ranked_actions as (
    select
        account_id,
        action_text,
        due_date,
        row_number() over (
            partition by account_id
            order by
                coalesce(is_still_true, true) desc,
                coalesce(priority_score, 0) desc,
                priority asc,
                due_date asc,
                action_id asc
        ) as action_rank
    from actions
),

-- a change within the margin that bands allow is no trend
scored_accounts as (
    select
        account_360.*,
        ranked_actions.action_text as next_action,
        ranked_actions.due_date as next_action_due_date,
        case
            when account_360.health_score_change_28_days > scorecards.hysteresis_points
                then 'rising'
            when account_360.health_score_change_28_days < -1 * scorecards.hysteresis_points
                then 'falling'
            when account_360.health_score_change_28_days is not null then 'steady'
        end as trend,
        case
            when account_360.lifecycle_stage <> 'renewal_window' then 'none'
            when account_360.traffic_light = 'red' then 'high'
            when account_360.traffic_light = 'yellow' then 'medium'
            when account_360.traffic_light = 'green' then 'low'
            else 'unknown'
        end as renewal_risk
    from account_360
    left join scorecards
        on
            account_360.scoring_version = scorecards.scoring_version
            and account_360.scorecard_key = scorecards.scorecard_key
    left join ranked_actions
        on
            account_360.account_id = ranked_actions.account_id
            and ranked_actions.action_rank = 1
    where not account_360.is_frozen
),

final as (
    select
        scored_accounts.account_id as sync_key,
        scored_accounts.account_id,
        scored_accounts.as_of_date,
        scored_accounts.scoring_version,
        scored_accounts.lifecycle_stage,
        scored_accounts.health_score,
        scored_accounts.band,
        scored_accounts.band_label,
        scored_accounts.band_reason,
        scored_accounts.band_note,
        scored_accounts.health_score_change_28_days,
        scored_accounts.trend,
        scored_accounts.top_positive_driver,
        scored_accounts.top_negative_driver,
        scored_accounts.next_action,
        scored_accounts.next_action_due_date,
        scored_accounts.expansion_score,
        scored_accounts.renewal_date,
        scored_accounts.renewal_risk,
        last_changes.payload_changed_on,
        {{ dbt.hash(
            customer_health.payload_text('scored_accounts', payload_columns)
        ) }} as payload_hash
    from scored_accounts
    inner join last_changes
        on scored_accounts.account_id = last_changes.account_id
)

select * from final
