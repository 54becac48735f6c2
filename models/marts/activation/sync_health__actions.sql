with

actions as (
    select *
    from {{ ref('act_health__actions') }}
    where is_open
),

final as (
    select
        action_id,
        account_id,
        account_name,
        playbook_key,
        fired_on,
        due_date,
        state,
        owner_role,
        owner_id as csm_id,
        channel,
        priority,
        arr_amount,
        action_text,
        why_text
    from actions
)

select * from final
