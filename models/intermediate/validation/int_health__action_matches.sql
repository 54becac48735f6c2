-- Each action that was done, beside like accounts without it: all that look alike, and those among
-- them for which the same playbook fired as well and nobody had done it. Who has a reason for an
-- action is worse off than who looks alike, so that the second says more.
{% set done_before_days = 91 %}
{% set fired_before_days = 28 %}
{% set strata = ['as_of_date', 'band', 'segment', 'trend', 'outcome'] %}

with

done_actions as (select * from {{ ref('int_health__done_actions') }}),

action_accounts as (select * from {{ ref('int_health__action_accounts') }}),

actions as (select * from {{ ref('act_health__actions') }}),

weeks as (
    {%- for week in range(fired_before_days // 7 + 1) %}
    select {{ week }} as week
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

action_dates as (
    select distinct
        playbook_key,
        as_of_date
    from done_actions
),

-- the playbook done in the three months before, or in the week itself: no comparison. What is done
-- later does not count, since only an account that stays can have it done.
touched as (
    select distinct
        action_dates.playbook_key,
        done_actions.account_id,
        action_dates.as_of_date
    from action_dates
    inner join done_actions
        on
            action_dates.playbook_key = done_actions.playbook_key
            and {{ customer_health.add_days('action_dates.as_of_date', -1 * done_before_days) }}
            <= done_actions.done_on
            and {{ customer_health.add_days('action_dates.as_of_date', 7) }}
            > done_actions.done_on
),

-- Each action counts on four or five Sundays, from the one before it on. They are counted up, which
-- is quicker than to compare each action with each Sunday.
counted_on as (
    select
        actions.account_id,
        actions.playbook_key,
        actions.fired_on,
        {{ customer_health.add_days(
            customer_health.start_of_week('actions.fired_on', 'sunday'), '7 * weeks.week'
        ) }} as as_of_date
    from actions
    cross join weeks
),

fired as (
    select distinct
        action_dates.playbook_key,
        counted_on.account_id,
        action_dates.as_of_date
    from action_dates
    inner join counted_on
        on
            action_dates.as_of_date = counted_on.as_of_date
            and action_dates.playbook_key in (counted_on.playbook_key, '*')
            and {{ customer_health.add_days('action_dates.as_of_date', -1 * fired_before_days) }}
            < counted_on.fired_on
),

fired_untouched as (
    select
        fired.playbook_key,
        fired.account_id,
        fired.as_of_date
    from fired
    left join touched
        on
            fired.playbook_key = touched.playbook_key
            and fired.account_id = touched.account_id
            and fired.as_of_date = touched.as_of_date
    where touched.account_id is null
),

all_alike as (
    select
        {{ strata | join(',\n        ') }},
        count(*) as account_count,
        {{ customer_health.exact_sum('outcome_value') }} as outcome_sum
    from action_accounts
    group by {{ range(1, strata | length + 1) | join(', ') }}
),

{% for relation in ['touched', 'fired_untouched'] %}
{{ relation }}_alike as (
    select
        {{ relation }}.playbook_key,
        {% for column in strata -%}
        action_accounts.{{ column }},
        {% endfor -%}
        count(*) as account_count,
        {{ customer_health.exact_sum('action_accounts.outcome_value') }} as outcome_sum
    from {{ relation }}
    inner join action_accounts
        on
            {{ relation }}.account_id = action_accounts.account_id
            and {{ relation }}.as_of_date = action_accounts.as_of_date
    group by {{ range(1, strata | length + 2) | join(', ') }}
),

{% endfor %}
compared as (
    select
        'alike' as compared_with,
        touched_alike.playbook_key,
        {% for column in strata -%}
        all_alike.{{ column }},
        {% endfor -%}
        all_alike.account_count - touched_alike.account_count as account_count,
        all_alike.outcome_sum - touched_alike.outcome_sum as outcome_sum
    from all_alike
    inner join touched_alike
        on
            all_alike.as_of_date = touched_alike.as_of_date
            and all_alike.band = touched_alike.band
            and all_alike.segment = touched_alike.segment
            and all_alike.trend = touched_alike.trend
            and all_alike.outcome = touched_alike.outcome

    union all

    select
        'same_playbook' as compared_with,
        playbook_key,
        {{ strata | join(',\n        ') }},
        account_count,
        outcome_sum
    from fired_untouched_alike
),

comparisons as (
    select 'alike' as compared_with
    union all
    select 'same_playbook' as compared_with
),

final as (
    select
        done_actions.action_id,
        done_actions.playbook_key,
        comparisons.compared_with,
        done_actions.account_id,
        done_actions.as_of_date,
        action_accounts.outcome,
        action_accounts.outcome_value,
        coalesce(compared.account_count, 0) as compared_account_count,
        {{ customer_health.safe_divide('compared.outcome_sum', 'compared.account_count') }}
            as compared_value
    from done_actions
    cross join comparisons
    inner join action_accounts
        on
            done_actions.account_id = action_accounts.account_id
            and done_actions.as_of_date = action_accounts.as_of_date
    left join compared
        on
            comparisons.compared_with = compared.compared_with
            and done_actions.playbook_key = compared.playbook_key
            {% for column in strata -%}
            and action_accounts.{{ column }} = compared.{{ column }}
            {% endfor %}
)

select * from final
