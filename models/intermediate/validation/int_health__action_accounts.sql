-- What accounts look like on the Sundays before actions were done, and what followed. The Sunday on
-- or before the day does not know what the action did.
{% set windows = [28, 91] %}
{% set judged_days = 91 %}

with

done_actions as (select * from {{ ref('int_health__done_actions') }}),

account_scores as (
    select
        *,
        {{ customer_health.day_number('as_of_date') }} as day_number
    from {{ ref('fct_health__account_scores') }}
    where health_score is not null
),

churns as (
    select *
    from {{ ref('int_health__outcomes') }}
    where outcome = 'churn'
),

limits as (select * from {{ ref('int_health__validation_limits') }}),

action_dates as (
    select distinct as_of_date
    from done_actions
),

states as (
    select
        account_scores.account_id,
        account_scores.as_of_date,
        account_scores.band,
        coalesce(account_scores.segment, '') as segment,
        case
            when account_scores.health_score - earlier_scores.health_score >= limits.trend_points
                then 'rising'
            when earlier_scores.health_score - account_scores.health_score >= limits.trend_points
                then 'falling'
            else 'steady'
        end as trend,
        {% for days in windows -%}
        scores_{{ days }}.health_score - account_scores.health_score as change_{{ days }},
        {% endfor -%}
        case
            when account_scores.as_of_date
                <= {{ customer_health.add_days(
                    customer_health.outcomes_known_before(), -1 * judged_days
                ) }}
                then 1
        end as is_judged
    from account_scores
    inner join action_dates
        on account_scores.as_of_date = action_dates.as_of_date
    cross join limits
    inner join account_scores as earlier_scores
        on
            account_scores.account_id = earlier_scores.account_id
            and account_scores.day_number - 28 = earlier_scores.day_number
    {%- for days in windows %}
    left join account_scores as scores_{{ days }}
        on
            account_scores.account_id = scores_{{ days }}.account_id
            and account_scores.day_number + {{ days }} = scores_{{ days }}.day_number
    {%- endfor %}
),

lost as (
    select distinct
        states.account_id,
        states.as_of_date
    from states
    inner join churns
        on
            states.account_id = churns.account_id
            and states.as_of_date <= churns.outcome_date
            and {{ customer_health.add_days('states.as_of_date', judged_days) }}
            > churns.outcome_date
),

followed as (
    select
        states.*,
        case
            when states.is_judged = 1 and lost.account_id is null then 100
            when states.is_judged = 1 then 0
        end as retained_percent
    from states
    left join lost
        on
            states.account_id = lost.account_id
            and states.as_of_date = lost.as_of_date
),

final as (
    {% for outcome, column in [
        ('score_change_28_days', 'change_28'),
        ('score_change_91_days', 'change_91'),
        ('retention_91_days', 'retained_percent'),
    ] %}
    select
        account_id,
        as_of_date,
        band,
        segment,
        trend,
        '{{ outcome }}' as outcome,
        cast({{ column }} as {{ customer_health.type_double() }}) as outcome_value
    from followed
    where {{ column }} is not null
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from final
