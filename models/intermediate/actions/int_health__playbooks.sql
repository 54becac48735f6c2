-- What the trigger of each playbook needs, taken apart: a name, a number, a number of days.
{{ config(materialized='view') }}

with

playbooks as (select * from {{ ref('playbooks') }}),

with_parts as (
    select
        *,
        {{ dbt.split_part('trigger_value', "':'", 1) }} as first_part,
        case
            when trigger_value like '%:%' then {{ dbt.split_part('trigger_value', "':'", 2) }}
        end as second_part
    from playbooks
),

final as (
    select
        playbook_key,
        trigger_type,
        case
            when
                trigger_type in (
                    'band_entered', 'band_held', 'metric_below', 'category_below', 'feature_unused'
                )
                then first_part
        end as trigger_name,
        case
            when
                trigger_type in (
                    'score_fell', 'expansion_above', 'conversion_above', 'sentiment_gap'
                )
                then {{ customer_health.parse_double('first_part') | indent(20) }}
            when trigger_type in ('metric_below', 'category_below')
                then {{ customer_health.parse_double('second_part') | indent(20) }}
        end as trigger_number,
        case
            when
                trigger_type in (
                    'champion_silent', 'renewal_not_healthy', 'checkin_overdue', 'payment_overdue'
                )
                then {{ customer_health.parse_bigint('first_part') | indent(20) }}
            when trigger_type in ('band_held', 'score_fell', 'feature_unused')
                then {{ customer_health.parse_bigint('second_part') | indent(20) }}
        end as trigger_days,
        condition_segment,
        condition_plan,
        condition_lifecycle_stage,
        min_arr_amount,
        moves_key,
        action_text,
        owner_role,
        channel,
        priority,
        due_days,
        greatest(cooldown_days, 1) as cooldown_days,
        status = 'draft' as is_draft
    from with_parts
)

select * from final
