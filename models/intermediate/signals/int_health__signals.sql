{{ config(materialized='view') }}

with

{% set families = [
    'usage', 'surveys', 'support', 'billing', 'onboarding', 'engagement', 'relationship'
] %}

final as (
    {% for family in families %}
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        metric_value,
        observed_at,
        sample_size,
        value_state
    from {{ ref('int_health__signals_' ~ family) }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from final
