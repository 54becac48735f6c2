{#- source key -> the raw tables that feed it (any one connects it), the model and the column whose
    days show that the source delivered. -#}
{% set sources = [
    ('crm_accounts', ['crm_accounts'], 'int_health__valid_crm_accounts', 'created_at'),
    ('crm_contacts', ['crm_contacts'], 'int_health__valid_crm_contacts', 'created_at'),
    ('crm_touchpoints', ['crm_touchpoints'], 'int_health__valid_crm_touchpoints', 'occurred_at'),
    ('crm_csm_sentiments', ['crm_csm_sentiments'],
        'int_health__valid_crm_csm_sentiments', 'recorded_at'),
    ('product_usage', ['product_events', 'product_usage_daily'],
        'int_health__usage_account_days', 'usage_date'),
    ('support_tickets', ['support_tickets'], 'int_health__valid_support_tickets', 'opened_at'),
    ('survey_responses', ['survey_responses'],
        'int_health__valid_survey_responses', 'responded_at'),
    ('csat_answers', ['survey_responses', 'support_tickets'],
        'int_health__csat_answers', 'answered_at'),
    ('billing_subscriptions', ['billing_subscriptions'],
        'int_health__valid_billing_subscriptions', 'started_at'),
    ('billing_invoices', ['billing_invoices'],
        'int_health__valid_billing_invoices', 'issued_at'),
    ('onboarding_milestones', ['onboarding_milestones'],
        'int_health__valid_onboarding_milestones', 'completed_at'),
    ('marketing_engagements', ['marketing_engagements'],
        'int_health__valid_marketing_engagements', 'occurred_at'),
    ('success_goals', ['success_goals'], 'int_health__valid_success_goals', 'updated_at'),
] %}

with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

connections as (
    {% for source_key, tables, model, column in sources %}
    select
        '{{ source_key }}' as source_key,
        {{ 'true' if customer_health.is_any_connected(tables) else 'false' }} as is_connected
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

source_days as (
    {% for source_key, tables, model, column in sources %}
    select distinct
        '{{ source_key }}' as source_key,
        cast({{ column }} as date) as source_date
    from {{ ref(model) }}
    where {{ column }} is not null
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

days_before as (
    select
        source_days.source_key,
        build_dates.as_of_date,
        min(source_days.source_date) as available_from,
        max(source_days.source_date) as available_to
    from build_dates
    inner join source_days
        on build_dates.as_of_date > source_days.source_date
    group by 1, 2
),

final as (
    select
        connections.source_key,
        build_dates.as_of_date,
        connections.is_connected,
        days_before.available_from,
        days_before.available_to
    from connections
    cross join build_dates
    left join days_before
        on
            connections.source_key = days_before.source_key
            and build_dates.as_of_date = days_before.as_of_date
)

select * from final
