-- What a playbook found on the day on which it fires, in words.
with

firing_days as (select * from {{ ref('int_health__firing_days') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

playbooks as (select * from {{ ref('int_health__playbooks') }}),

playbook_matches as (select * from {{ ref('int_health__playbook_matches') }}),

trigger_facts as (select * from {{ ref('int_health__trigger_facts') }}),

firing_drivers as (select * from {{ ref('int_health__firing_drivers') }}),

metric_losses as (select * from {{ ref('int_health__metric_losses') }}),

firings as (
    select
        firing_days.account_id,
        build_dates.as_of_date,
        firing_days.playbook_key,
        playbooks.trigger_type,
        playbooks.trigger_name,
        playbooks.trigger_days,
        playbook_matches.found_value,
        case
            when playbooks.trigger_type = 'metric_below' then playbooks.trigger_name
        end as trigger_metric_key
    from firing_days
    inner join build_dates
        on firing_days.day_number = build_dates.day_number
    inner join playbooks
        on firing_days.playbook_key = playbooks.playbook_key
    inner join playbook_matches
        on
            firing_days.account_id = playbook_matches.account_id
            and firing_days.playbook_key = playbook_matches.playbook_key
            and firing_days.day_number = playbook_matches.day_number
),

in_words as (
    select
        firings.account_id,
        firings.as_of_date,
        firings.playbook_key,
        firings.found_value,
        metric_losses.metric_label,
        metric_losses.metric_value,
        firing_drivers.losses_text,
        firing_drivers.top_negative_driver,
        firing_drivers.top_positive_driver,
        firing_drivers.top_loss,
        case
            when firings.trigger_type in ('band_entered', 'band_held', 'renewal_not_healthy')
                then trigger_facts.band_exception
        end as band_exception,
        case firings.trigger_type
            when 'band_entered'
                then
                trigger_facts.band_label || ' since '
                || cast(trigger_facts.band_since_date as {{ dbt.type_string() }})
                || coalesce(
                    ' with '
                    || cast(trigger_facts.health_score as {{ dbt.type_string() }})
                    || ' of 100',
                    ''
                )
            when 'band_held'
                then
                trigger_facts.band_label || ' for '
                || {{ customer_health.days_text('trigger_facts.days_in_band') }}
            when 'score_fell'
                then
                {{ customer_health.number_text('firings.found_value') }}
                || ' points less than '
                || {{ customer_health.days_text('firings.trigger_days') }} || ' before'
            when 'metric_below'
                then
                coalesce(metric_losses.metric_label, firings.trigger_name) || ' scores '
                || {{ customer_health.decimal_text('firings.found_value', 1) }} || ' of 10 ('
                || {{ customer_health.number_text('metric_losses.metric_value') }} || ')'
            when 'category_below'
                then
                'The category ' || firings.trigger_name || ' scores '
                || {{ customer_health.decimal_text('firings.found_value', 1) }} || ' of 10'
            when 'feature_unused'
                then
                firings.trigger_name || ' is in the plan and was not used for '
                || {{ customer_health.days_text('firings.found_value') }}
            when 'champion_gone'
                then
                'The last champion left '
                || {{ customer_health.days_text('firings.found_value') }} || ' ago'
            when 'champion_silent'
                then
                'No two-way contact with the champion for '
                || {{ customer_health.days_text('firings.found_value') }}
            when 'renewal_not_healthy'
                then
                'Renewal in ' || {{ customer_health.days_text('firings.found_value') }}
                || ', and ' || trigger_facts.band_label
            when 'expansion_above'
                then
                'Expansion score '
                || {{ customer_health.number_text('firings.found_value') }} || ' of 100'
            when 'conversion_above'
                then
                'Conversion score '
                || {{ customer_health.number_text('firings.found_value') }} || ' of 100'
            when 'checkin_overdue'
                then
                'The check-in is '
                || {{ customer_health.days_text('firings.found_value') }} || ' overdue'
            when 'sentiment_gap'
                then
                'The CSM says '
                || {{ customer_health.number_text('trigger_facts.csm_sentiment') }}
                || ' of 5, the score says ' || trigger_facts.band_label
            when 'payment_overdue'
                then
                'The oldest open invoice is '
                || {{ customer_health.days_text('firings.found_value') }} || ' overdue'
        end as found_text
    from firings
    inner join trigger_facts
        on
            firings.account_id = trigger_facts.account_id
            and firings.as_of_date = trigger_facts.as_of_date
    left join firing_drivers
        on
            firings.account_id = firing_drivers.account_id
            and firings.as_of_date = firing_drivers.as_of_date
    left join metric_losses
        on
            firings.account_id = metric_losses.account_id
            and firings.as_of_date = metric_losses.as_of_date
            and firings.trigger_metric_key = metric_losses.metric_key
),

final as (
    select
        account_id,
        as_of_date,
        playbook_key,
        found_value,
        metric_label,
        metric_value,
        top_positive_driver,
        coalesce(band_exception, top_negative_driver, top_loss) as main_reason,
        found_text
        || coalesce(' (' || band_exception || ')', '')
        || coalesce('. Most points are missing here: ' || losses_text, '')
        || coalesce('. In 28 days ' || top_negative_driver, '') as why_text
    from in_words
)

select * from final
