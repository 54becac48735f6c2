-- Actions that were done, once for their playbook and once for any (`*`), with the Sunday on or
-- before the day.
{{ config(materialized='view') }}

with

actions as (
    select *
    from {{ ref('act_health__actions') }}
    where done_on is not null
),

dated as (
    select
        action_id,
        account_id,
        playbook_key,
        done_on,
        {{ customer_health.start_of_week('done_on', 'sunday') }} as as_of_date
    from actions
),

final as (
    select
        action_id,
        account_id,
        playbook_key,
        done_on,
        as_of_date
    from dated

    union all

    select
        action_id,
        account_id,
        '*' as playbook_key,
        done_on,
        as_of_date
    from dated
)

select * from final
