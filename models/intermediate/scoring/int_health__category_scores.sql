with

metric_scores as (select * from {{ ref('int_health__metric_scores') }}),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        category_key,
        max(category_weight) as category_weight,
        {{ customer_health.safe_divide(
            customer_health.exact_sum('case when is_known then metric_weight * metric_score end'),
            customer_health.exact_sum('case when is_known then metric_weight end')
        ) }} as category_score,
        -- the score of the category if every unknown metric were 0, or 10; null: nothing applies
        {{ customer_health.safe_divide(
            'coalesce('
            ~ customer_health.exact_sum('case when is_known then metric_weight * metric_score end')
            ~ ', 0)',
            customer_health.exact_sum('case when is_applicable then metric_weight end')
        ) }} as category_score_low,
        {{ customer_health.safe_divide(
            customer_health.exact_sum(
                'case when is_known then metric_weight * metric_score'
                ~ ' when is_applicable then metric_weight * 10 end'
            ),
            customer_health.exact_sum('case when is_applicable then metric_weight end')
        ) }} as category_score_high,
        {{ customer_health.safe_divide(
            'coalesce(' ~ customer_health.exact_sum('case when is_known then metric_weight end')
            ~ ', 0)',
            customer_health.exact_sum('case when is_applicable then metric_weight end')
        ) }} as category_coverage,
        cast(
            {{ customer_health.exact_sum('case when is_known then metric_weight end') }}
            as {{ customer_health.type_double() }}
        ) as known_metric_weight,
        cast(
            {{ customer_health.exact_sum('case when is_applicable then metric_weight end') }}
            as {{ customer_health.type_double() }}
        ) as applicable_metric_weight,
        cast(
            {{ customer_health.exact_sum(
                "case when value_state <> 'not_connected' then metric_weight else 0 end"
            ) }} as {{ customer_health.type_double() }}
        ) as connected_metric_weight,
        cast(
            {{ customer_health.exact_sum('metric_weight') }}
            as {{ customer_health.type_double() }}
        ) as total_metric_weight,
        cast(sum(case when is_known then 1 else 0 end) as bigint) as known_metric_count,
        cast(sum(case when is_applicable then 1 else 0 end) as bigint) as applicable_metric_count,
        {{ dbt.bool_or('is_data_incident') }} as has_data_incident
    from metric_scores
    group by 1, 2, 3, 4, 5
)

select * from final
