-- Matches of this run that the last firing before it leaves free. The first of them fires.
{% set earlier_firings = customer_health.history_relation('int_health__playbook_firings') %}

with

playbook_matches as (select * from {{ ref('int_health__playbook_matches') }}),

playbooks as (select * from {{ ref('int_health__playbooks') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),  -- noqa: ST03

{% if earlier_firings is not none %}

-- what a playbook did as a draft does not keep it quiet when it is in earnest
last_firings as (
    select
        account_id,
        playbook_key,
        is_draft,
        max(as_of_date) as last_fired_on
    from {{ earlier_firings }}
    where as_of_date < (select min(build_dates.as_of_date) from build_dates)
    group by 1, 2, 3
),

{% else %}

last_firings as (
    select
        account_id,
        playbook_key,
        false as is_draft,
        as_of_date as last_fired_on
    from playbook_matches
    where 1 = 0
),

{% endif %}

final as (
    select
        playbook_matches.account_id,
        playbook_matches.playbook_key,
        playbook_matches.day_number,
        playbooks.cooldown_days,
        row_number() over (
            partition by playbook_matches.account_id, playbook_matches.playbook_key
            order by playbook_matches.day_number
        ) as match_number
    from playbook_matches
    inner join playbooks
        on playbook_matches.playbook_key = playbooks.playbook_key
    left join last_firings
        on
            playbook_matches.account_id = last_firings.account_id
            and playbook_matches.playbook_key = last_firings.playbook_key
            and playbooks.is_draft = last_firings.is_draft
    where
        last_firings.last_fired_on is null
        or {{ customer_health.days_between(
            'last_firings.last_fired_on', 'playbook_matches.as_of_date'
        ) }} >= playbooks.cooldown_days
)

select * from final
