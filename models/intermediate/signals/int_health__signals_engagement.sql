with

metric_dates as (select * from {{ ref('int_health__metric_dates') }}),

engagements as (select * from {{ ref('int_health__valid_marketing_engagements') }}),

-- what we sent is our doing, what was opened, clicked, attended or downloaded is theirs
responses as (
    select
        account_id,
        occurred_at,
        cast(occurred_at as date) as occurred_on
    from engagements
    where engagement_type <> 'sent'
),

final as (
    select
        responses.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        cast(count(*) as {{ customer_health.type_double() }}) as metric_value,
        max(responses.occurred_at) as observed_at,
        cast(count(*) as bigint) as sample_size,
        'observed' as value_state
    from metric_dates
    inner join responses
        on
            metric_dates.as_of_date > responses.occurred_on
            and metric_dates.window_from <= responses.occurred_on
    where metric_dates.metric_key = 'campaign_engagement'
    group by 1, 2, 3, 4
)

select * from final
