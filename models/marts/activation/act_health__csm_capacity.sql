-- Actions that a CSM gets in a week, and those that drafts would add: a policy that floods people
-- is seen here before anybody gets its actions.
{% set capacity = customer_health.integer_var('csm_weekly_actions', minimum=1) %}

with

firings as (
    select *
    from {{ ref('int_health__playbook_firings') }}
    where
        owner_role = 'csm'
        and as_of_date <= {{ customer_health.as_of_date() }}
),

accounts as (
    select *
    from {{ ref('dim_health__accounts') }}
    where is_scored
),

weekly as (
    select
        coalesce(csm_id, '(none)') as csm_id,
        {{ customer_health.start_of_week('as_of_date', 'monday') }} as week_start_date,
        is_draft,
        priority,
        account_id
    from firings
),

managed as (
    select
        coalesce(csm_id, '(none)') as csm_id,
        count(*) as managed_account_count
    from accounts
    group by 1
),

counted as (
    select
        csm_id,
        week_start_date,
        sum(case when not is_draft then 1 else 0 end) as action_count,
        sum(case when not is_draft and priority = 1 then 1 else 0 end) as urgent_action_count,
        sum(case when is_draft then 1 else 0 end) as draft_action_count,
        count(distinct case when not is_draft then account_id end) as account_count
    from weekly
    group by 1, 2
),

final as (
    select
        counted.csm_id,
        counted.week_start_date,
        cast(counted.action_count as bigint) as action_count,
        cast(counted.urgent_action_count as bigint) as urgent_action_count,
        cast(counted.draft_action_count as bigint) as draft_action_count,
        cast(counted.account_count as bigint) as account_count,
        cast(coalesce(managed.managed_account_count, 0) as bigint) as managed_account_count,
        cast({{ capacity }} as bigint) as weekly_capacity,
        counted.action_count > {{ capacity }} as is_over_capacity,
        counted.action_count + counted.draft_action_count > {{ capacity }}
            as would_be_over_capacity
    from counted
    left join managed
        on counted.csm_id = managed.csm_id
)

select * from final
