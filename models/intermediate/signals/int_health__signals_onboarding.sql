with

metric_dates as (select * from {{ ref('int_health__metric_dates') }}),

milestones as (select * from {{ ref('int_health__valid_onboarding_milestones') }}),

final as (
    select
        milestones.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        {{ customer_health.safe_divide(
            customer_health.exact_sum(
                'case when cast(milestones.completed_at as date) < metric_dates.as_of_date'
                ~ ' then coalesce(milestones.weight, 1) else 0 end'
            ),
            customer_health.exact_sum('coalesce(milestones.weight, 1)')
        ) }} as metric_value,
        cast(metric_dates.as_of_date as timestamp) as observed_at,
        cast(count(*) as bigint) as sample_size,
        'observed' as value_state
    from metric_dates
    inner join milestones
        on metric_dates.metric_key = 'onboarding_completion'
    group by 1, 2, 3, 4
    having {{ customer_health.exact_sum('coalesce(milestones.weight, 1)') }} > 0
)

select * from final
