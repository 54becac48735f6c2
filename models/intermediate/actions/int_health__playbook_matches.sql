-- Where the trigger of a playbook and its conditions hold. Nothing while the data are to blame.
{% set days_triggers = {
    'band_held': 'days_in_band',
    'champion_silent': 'champion_silent_days',
    'checkin_overdue': 'checkin_overdue_days',
    'payment_overdue': 'invoice_overdue_days',
} %}
{% set number_triggers = {
    'expansion_above': 'expansion_score',
    'conversion_above': 'conversion_score',
    'sentiment_gap': 'sentiment_gap_bands',
} %}
{% set fact_triggers = (days_triggers | dictsort) + (number_triggers | dictsort) %}

with

trigger_facts as (
    select *
    from {{ ref('int_health__trigger_facts') }}
    where not has_data_incident
),

playbooks as (select * from {{ ref('int_health__playbooks') }}),

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where
        purpose = 'health'
        and as_of_date >= (select min(build_dates.as_of_date) from build_dates)
),

unused_features as (select * from {{ ref('int_health__unused_features') }}),

account_matches as (
    select
        trigger_facts.account_id,
        trigger_facts.as_of_date,
        playbooks.playbook_key,
        cast(case playbooks.trigger_type
            when 'band_entered' then trigger_facts.health_score
            when 'champion_gone' then trigger_facts.champion_gone_days
            when 'renewal_not_healthy' then trigger_facts.days_to_renewal
            {%- for trigger_type, column in fact_triggers %}
            when '{{ trigger_type }}' then trigger_facts.{{ column }}
            {%- endfor %}
        end as {{ customer_health.type_double() }}) as found_value
    from trigger_facts
    inner join playbooks
        on
            case playbooks.trigger_type
                when 'band_entered'
                    then
                    trigger_facts.band = playbooks.trigger_name
                    and trigger_facts.is_band_new
                when 'band_held'
                    then
                    trigger_facts.band = playbooks.trigger_name
                    and trigger_facts.days_in_band >= playbooks.trigger_days
                when 'champion_gone' then trigger_facts.champion_gone_days is not null
                when 'renewal_not_healthy'
                    then
                    trigger_facts.days_to_renewal between 0 and playbooks.trigger_days
                    and trigger_facts.traffic_light <> 'green'
                {%- for trigger_type, column in days_triggers | dictsort %}
                {%- if trigger_type != 'band_held' %}
                when '{{ trigger_type }}' then trigger_facts.{{ column }} >= playbooks.trigger_days
                {%- endif %}
                {%- endfor %}
                {%- for trigger_type, column in number_triggers | dictsort %}
                when '{{ trigger_type }}'
                    then trigger_facts.{{ column }} >= playbooks.trigger_number
                {%- endfor %}
                else false
            end
),

-- distinct makes this a step of its own: otherwise DuckDB pairs all dates of an account first
compared_scores as (
    select distinct
        trigger_facts.account_id,
        trigger_facts.as_of_date,
        trigger_facts.health_score,
        playbooks.playbook_key,
        playbooks.trigger_number,
        {{ customer_health.add_days(
            'trigger_facts.as_of_date', '-1 * playbooks.trigger_days'
        ) }} as compared_date
    from trigger_facts
    inner join playbooks
        on playbooks.trigger_type = 'score_fell'
),

score_falls as (
    select
        compared_scores.account_id,
        compared_scores.as_of_date,
        compared_scores.playbook_key,
        cast(
            account_scores.health_score - compared_scores.health_score
            as {{ customer_health.type_double() }}
        ) as found_value
    from compared_scores
    inner join account_scores
        on
            compared_scores.account_id = account_scores.account_id
            and compared_scores.compared_date = account_scores.as_of_date
            and account_scores.health_score - compared_scores.health_score
            >= compared_scores.trigger_number
),

low_metrics as (
    select
        metric_scores.account_id,
        metric_scores.as_of_date,
        playbooks.playbook_key,
        metric_scores.metric_score as found_value
    from metric_scores
    inner join playbooks
        on
            playbooks.trigger_type = 'metric_below'
            and metric_scores.metric_key = playbooks.trigger_name
            and metric_scores.metric_score < playbooks.trigger_number
),

low_categories as (
    select
        metric_scores.account_id,
        metric_scores.as_of_date,
        playbooks.playbook_key,
        max(metric_scores.category_score) as found_value
    from metric_scores
    inner join playbooks
        on
            playbooks.trigger_type = 'category_below'
            and metric_scores.category_key = playbooks.trigger_name
            and metric_scores.category_score < playbooks.trigger_number
    group by 1, 2, 3
),

unused as (
    select
        unused_features.account_id,
        unused_features.as_of_date,
        playbooks.playbook_key,
        cast(unused_features.trigger_days as {{ customer_health.type_double() }}) as found_value
    from unused_features
    inner join playbooks
        on
            playbooks.trigger_type = 'feature_unused'
            and unused_features.feature_key = playbooks.trigger_name
            and unused_features.trigger_days = playbooks.trigger_days
),

matches as (
    select * from account_matches
    union all
    select * from score_falls
    union all
    select * from low_metrics
    union all
    select * from low_categories
    union all
    select * from unused
),

final as (
    select
        matches.account_id,
        matches.as_of_date,
        {{ customer_health.day_number('matches.as_of_date') }} as day_number,
        matches.playbook_key,
        matches.found_value
    from matches
    inner join trigger_facts
        on
            matches.account_id = trigger_facts.account_id
            and matches.as_of_date = trigger_facts.as_of_date
    inner join playbooks
        on
            matches.playbook_key = playbooks.playbook_key
            and coalesce(
                trigger_facts.segment = playbooks.condition_segment,
                playbooks.condition_segment is null
            )
            and coalesce(
                trigger_facts.plan = playbooks.condition_plan, playbooks.condition_plan is null
            )
            and coalesce(
                trigger_facts.lifecycle_stage = playbooks.condition_lifecycle_stage,
                playbooks.condition_lifecycle_stage is null
            )
            and coalesce(
                trigger_facts.arr_amount >= playbooks.min_arr_amount,
                playbooks.min_arr_amount is null
            )
)

select * from final
