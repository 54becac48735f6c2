{% set single_thread_percent = customer_health.integer_var('single_thread_percent', minimum=1) %}

with

accounts as (
    select *
    from {{ ref('dim_health__accounts') }}
    where is_scored
),

people as (select * from {{ ref('act_health__people') }}),

champion_states as (
    select *
    from {{ ref('int_health__champion_states') }}
    where as_of_date = {{ customer_health.as_of_date() }}
),

per_account as (
    select
        account_id,
        sum(case when role = 'champion' and not has_left then 1 else 0 end) as champion_count,
        sum(case when event_count_28_days > 0 then 1 else 0 end) as active_user_count,
        sum(case when two_way_contact_count_90_days > 0 then 1 else 0 end)
            as contacted_people_count,
        max(case when usage_rank = 1 and event_count_28_days > 0 then user_id end)
            as most_active_user_id,
        max(case when usage_rank = 1 then usage_share end) as top_user_share,
        max(case
            when contact_rank = 1 and two_way_contact_count_90_days > 0 then contact_id
        end) as most_connected_contact_id
    from people
    group by 1
),

final as (
    select
        accounts.account_id,
        coalesce(champion_states.has_champion, false) as has_champion,
        cast(coalesce(per_account.champion_count, 0) as bigint) as champion_count,
        champion_states.champion_left_on,
        champion_states.champion_silent_days,
        per_account.most_active_user_id,
        per_account.top_user_share,
        cast(coalesce(per_account.active_user_count, 0) as bigint) as active_user_count_28_days,
        per_account.most_connected_contact_id,
        cast(coalesce(per_account.contacted_people_count, 0) as bigint)
            as contacted_people_count_90_days,
        coalesce(per_account.contacted_people_count, 0) <= 1 as is_single_threaded,
        coalesce(
            {{ customer_health.round_score('per_account.top_user_share * 100') }}
            >= {{ single_thread_percent }},
            false
        ) as is_use_concentrated
    from accounts
    left join per_account
        on accounts.account_id = per_account.account_id
    left join champion_states
        on accounts.account_id = champion_states.account_id
)

select * from final
