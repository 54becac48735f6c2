-- depends_on: {{ ref('int_health__build_dates') }}
-- What fired, in the words and numbers of that day. Rows of earlier days stay as they are, whatever
-- the playbook says now; those of the dates of this run are made again, as all history is.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    post_hook="{{ customer_health.drop_old_rows('component_history_days') }}",
    tags=['customer_health_history']
) }}
{#- what people wrote comes last, a note and the name of the account: braces that it holds are no
    placeholders -#}
{% set placeholders = [
    ('band_label', 'trigger_facts.band_label'),
    ('health_score', customer_health.number_text('trigger_facts.health_score')),
    ('days_in_band', customer_health.number_text('trigger_facts.days_in_band')),
    ('score_change', customer_health.number_text('score_changes.lost_points')),
    ('top_positive_driver', 'reasons.top_positive_driver'),
    ('missing_metrics', 'missing.missing_metrics'),
    ('renewal_date', 'cast(trigger_facts.renewal_date as ' ~ dbt.type_string() ~ ')'),
    ('days_to_renewal', customer_health.number_text('trigger_facts.days_to_renewal')),
    ('arr_amount', customer_health.number_text('trigger_facts.arr_amount')),
    ('mrr_amount', customer_health.number_text('trigger_facts.mrr_amount')),
    ('currency_code', customer_health.code_var('reporting_currency')),
    ('onboarding_score', customer_health.number_text('trigger_facts.onboarding_score')),
    ('expansion_score', customer_health.number_text('trigger_facts.expansion_score')),
    ('conversion_score', customer_health.number_text('trigger_facts.conversion_score')),
    ('metric_label', 'reasons.metric_label'),
    ('metric_value', customer_health.number_text('reasons.metric_value')),
    ('feature_key', "case when playbooks.trigger_type = 'feature_unused'"
        ~ ' then playbooks.trigger_name end'),
    ('segment', 'trigger_facts.segment'),
    ('plan', 'trigger_facts.plan'),
    ('csm_id', 'trigger_facts.csm_id'),
    ('top_negative_driver', 'reasons.main_reason'),
    ('account_name', 'coalesce(accounts.account_name, trigger_facts.account_id)'),
] %}
{% set batches = placeholders | map('first') | batch(6) | list %}

with

reasons as (select * from {{ ref('int_health__firing_reasons') }}),

playbooks as (select * from {{ ref('int_health__playbooks') }}),

trigger_facts as (select * from {{ ref('int_health__trigger_facts') }}),

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where
        purpose = 'health'
        and value_state = 'unknown'
),

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

firing_dates as (
    select distinct
        account_id,
        as_of_date
    from reasons
),

missing as (
    select
        firing_dates.account_id,
        firing_dates.as_of_date,
        {{ customer_health.sorted_list('metric_scores.metric_label', ', ') }} as missing_metrics
    from firing_dates
    inner join metric_scores
        on
            firing_dates.account_id = metric_scores.account_id
            and firing_dates.as_of_date = metric_scores.as_of_date
    group by 1, 2
),

-- over the days that the trigger looks back, or four weeks
score_changes as (
    select
        reasons.account_id,
        reasons.as_of_date,
        reasons.playbook_key,
        abs(trigger_facts.health_score - account_scores.health_score) as lost_points
    from reasons
    inner join playbooks
        on reasons.playbook_key = playbooks.playbook_key
    inner join trigger_facts
        on
            reasons.account_id = trigger_facts.account_id
            and reasons.as_of_date = trigger_facts.as_of_date
    inner join account_scores
        on
            reasons.account_id = account_scores.account_id
            and {{ customer_health.add_days(
                'reasons.as_of_date',
                "case when playbooks.trigger_type = 'score_fell'"
                ~ ' then -1 * playbooks.trigger_days else -28 end'
            ) }} = account_scores.as_of_date
),

filled_0 as (
    select
        reasons.account_id,
        reasons.as_of_date,
        reasons.playbook_key,
        {% for name, value in placeholders -%}
        coalesce({{ value }}, 'not known') as {{ name }}_text,
        {% endfor -%}
        playbooks.action_text
    from reasons
    inner join playbooks
        on reasons.playbook_key = playbooks.playbook_key
    inner join trigger_facts
        on
            reasons.account_id = trigger_facts.account_id
            and reasons.as_of_date = trigger_facts.as_of_date
    inner join accounts
        on reasons.account_id = accounts.account_id
    left join score_changes
        on
            reasons.account_id = score_changes.account_id
            and reasons.as_of_date = score_changes.as_of_date
            and reasons.playbook_key = score_changes.playbook_key
    left join missing
        on
            reasons.account_id = missing.account_id
            and reasons.as_of_date = missing.as_of_date
),

-- a few at a time, since engines and tools bound how deep calls may nest
{% for names in batches -%}
{% set filled = namespace(text='action_text') -%}
{% for name in names -%}
{% set filled.text = 'replace(' ~ filled.text ~ ", '{" ~ name ~ "}', " ~ name ~ '_text)' -%}
{% endfor -%}
filled_{{ loop.index }} as (
    select
        account_id,
        as_of_date,
        playbook_key,
        {% for later_names in batches[loop.index:] -%}
        {% for name in later_names -%}
        {{ name }}_text,
        {% endfor -%}
        {% endfor -%}
        {{ filled.text }} as action_text
    from filled_{{ loop.index0 }}
),

{% endfor -%}
final as (
    select
        {{ dbt.hash(
            "reasons.account_id || '|' || reasons.playbook_key || '|' || cast(reasons.as_of_date as "
            ~ dbt.type_string() ~ ')'
        ) }} as action_id,
        reasons.account_id,
        reasons.playbook_key,
        reasons.as_of_date,
        playbooks.is_draft,
        playbooks.owner_role,
        playbooks.channel,
        playbooks.priority,
        playbooks.cooldown_days,
        {{ customer_health.add_days('reasons.as_of_date', 'playbooks.due_days') }} as due_date,
        {{ customer_health.add_days(
            'reasons.as_of_date', 'greatest(playbooks.due_days, playbooks.cooldown_days)'
        ) }} as expires_on,
        trigger_facts.csm_id,
        trigger_facts.segment,
        trigger_facts.lifecycle_stage,
        trigger_facts.band,
        trigger_facts.health_score,
        trigger_facts.arr_amount,
        trigger_facts.churn_probability,
        reasons.found_value,
        filled.action_text,
        reasons.why_text
    from reasons
    inner join filled_{{ batches | length }} as filled
        on
            reasons.account_id = filled.account_id
            and reasons.as_of_date = filled.as_of_date
            and reasons.playbook_key = filled.playbook_key
    inner join playbooks
        on reasons.playbook_key = playbooks.playbook_key
    inner join trigger_facts
        on
            reasons.account_id = trigger_facts.account_id
            and reasons.as_of_date = trigger_facts.as_of_date
)

select * from final
