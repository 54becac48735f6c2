with

firings as (
    select *
    from {{ ref('int_health__playbook_firings') }}
    where
        not is_draft
        and as_of_date <= {{ customer_health.as_of_date() }}
),

action_updates as (
    select
        account_id,
        playbook_key,
        state,
        author_id,
        cast(recorded_at as date) as recorded_on,
        recorded_at,
        update_id
    from {{ ref('int_health__valid_crm_action_updates') }}
    where cast(recorded_at as date) < {{ customer_health.as_of_date() }}
),

matches as (
    select *
    from {{ ref('int_health__playbook_matches') }}
    where as_of_date = {{ customer_health.as_of_date() }}
),

playbooks as (select * from {{ ref('int_health__playbooks') }}),

accounts as (select * from {{ ref('dim_health__accounts') }}),

account_scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where as_of_date = {{ customer_health.as_of_date() }}
),

with_next as (
    select
        *,
        lead(as_of_date) over (
            partition by account_id, playbook_key
            order by as_of_date
        ) as next_fired_on
    from firings
),

-- an update speaks of the newest action of its playbook at that time
ranked_updates as (
    select
        with_next.action_id,
        action_updates.state,
        action_updates.author_id,
        action_updates.recorded_on,
        row_number() over (
            partition by with_next.action_id, action_updates.state
            order by action_updates.recorded_at asc, action_updates.update_id asc
        ) as update_rank
    from with_next
    inner join action_updates
        on
            with_next.account_id = action_updates.account_id
            and with_next.playbook_key = action_updates.playbook_key
            and with_next.as_of_date <= action_updates.recorded_on
            and coalesce(with_next.next_fired_on, {{ customer_health.as_of_date() }})
            > action_updates.recorded_on
),

updates as (
    select
        action_id,
        max(case when state = 'acknowledged' then recorded_on end) as acknowledged_on,
        max(case when state = 'done' then recorded_on end) as done_on,
        max(case when state = 'done' then author_id end) as done_by
    from ranked_updates
    where update_rank = 1
    group by 1
),

with_state as (
    select
        with_next.*,
        accounts.account_name,
        accounts.csm_id as current_csm_id,
        account_scores.arr_amount as current_arr_amount,
        account_scores.arr_amount * account_scores.churn_probability as arr_at_risk_amount,
        updates.acknowledged_on,
        updates.done_on,
        updates.done_by,
        -- a band is entered on one day only; what counts is whether the account is still in it
        case
            when not accounts.is_current then false
            when account_scores.has_data_incident then cast(null as boolean)
            when playbooks.trigger_type = 'band_entered'
                then coalesce(account_scores.band = playbooks.trigger_name, false)
            else matches.account_id is not null
        end as is_still_true,
        case
            when updates.done_on is not null then 'done'
            when with_next.next_fired_on is not null then 'superseded'
            when
                with_next.expires_on < {{ customer_health.as_of_date() }}
                or not accounts.is_current
                then 'expired'
            when updates.acknowledged_on is not null then 'acknowledged'
            else 'open'
        end as state
    from with_next
    inner join accounts
        on with_next.account_id = accounts.account_id
    left join playbooks
        on with_next.playbook_key = playbooks.playbook_key
    left join account_scores
        on with_next.account_id = account_scores.account_id
    left join updates
        on with_next.action_id = updates.action_id
    left join matches
        on
            with_next.account_id = matches.account_id
            and with_next.playbook_key = matches.playbook_key
),

-- ARR at risk times urgency: priority 1 counts five times as much as priority 5
with_priority as (
    select
        *,
        state in ('open', 'acknowledged') as is_open,
        case when owner_role = 'csm' then current_csm_id end as owner_id,
        arr_at_risk_amount * (6 - priority) as priority_score
    from with_state
),

final as (
    select  -- noqa: ST06
        action_id,
        account_id,
        account_name,
        playbook_key,
        as_of_date as fired_on,
        due_date,
        expires_on,
        state,
        is_open,
        is_still_true,
        acknowledged_on,
        done_on,
        done_by,
        owner_role,
        owner_id,
        channel,
        cast(priority as bigint) as priority,
        current_arr_amount as arr_amount,
        arr_at_risk_amount,
        priority_score,
        case
            when is_open
                then cast(row_number() over (
                    partition by is_open, owner_role, owner_id
                    order by
                        coalesce(is_still_true, true) desc,
                        coalesce(priority_score, 0) desc,
                        priority asc,
                        due_date asc,
                        action_id asc
                ) as bigint)
        end as queue_rank,
        segment,
        lifecycle_stage,
        band,
        health_score,
        action_text,
        why_text
    from with_priority
)

select * from final
