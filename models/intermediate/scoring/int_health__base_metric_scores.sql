with

metric_values as (select * from {{ ref('int_health__metric_values') }}),

anchor_segments as (select * from {{ ref('int_health__anchor_segments') }}),

final as (
    select
        metric_values.account_id,
        metric_values.as_of_date,
        metric_values.scoring_version,
        metric_values.scorecard_key,
        metric_values.category_key,
        metric_values.metric_key,
        metric_values.category_weight,
        metric_values.metric_weight,
        metric_values.metric_value,
        metric_values.observed_at,
        metric_values.sample_size,
        metric_values.value_state,
        metric_values.tenure_days,
        case
            when metric_values.value_state in ('observed', 'zero')
                then {{ customer_health.anchor_score(
                    'metric_values.metric_value', 'anchor_segments'
                ) }}
        end as metric_score
    from metric_values
    left join anchor_segments
        on {{ customer_health.anchor_join(
            'metric_values', 'metric_values.metric_value', 'anchor_segments'
        ) }}
)

select * from final
