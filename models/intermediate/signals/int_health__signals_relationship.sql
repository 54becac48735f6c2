with

metric_dates as (select * from {{ ref('int_health__metric_dates') }}),

spine as (select * from {{ ref('int_health__spine') }}),

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

contacts as (select * from {{ ref('int_health__valid_crm_contacts') }}),

touchpoints as (select * from {{ ref('int_health__valid_crm_touchpoints') }}),

sentiments as (select * from {{ ref('int_health__valid_crm_csm_sentiments') }}),

goals as (select * from {{ ref('int_health__valid_success_goals') }}),

champions as (
    select
        account_id,
        cast(created_at as date) as known_from,
        created_at,
        {{ customer_health.contact_left_on() }} as left_on
    from contacts
    where role = 'champion'
),

champion_presence as (
    select
        champions.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        cast(1 as {{ customer_health.type_double() }}) as metric_value,
        max(champions.created_at) as observed_at,
        count(*) as sample_size
    from metric_dates
    inner join champions
        on
            metric_dates.as_of_date > champions.known_from
            and metric_dates.as_of_date <= coalesce(champions.left_on, cast('9999-12-31' as date))
    where metric_dates.metric_key = 'champion_present'
    group by 1, 2, 3, 4
),

last_contacts as (
    select
        touchpoints.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        max(touchpoints.occurred_at) as last_contact_at,
        count(*) as sample_size
    from metric_dates
    inner join touchpoints
        on metric_dates.as_of_date > cast(touchpoints.occurred_at as date)
    where
        metric_dates.metric_key = 'days_since_contact'
        and touchpoints.direction = 'two_way'
    group by 1, 2, 3, 4
),

silence as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        cast(
            {{ customer_health.days_between('cast(last_contact_at as date)', 'as_of_date') }}
            as {{ customer_health.type_double() }}
        ) as metric_value,
        last_contact_at as observed_at,
        sample_size
    from last_contacts
),

last_reviews as (
    select
        spine.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        spine.tenure_days,
        accounts.review_cadence_days,
        max(touchpoints.occurred_at) as last_review_at,
        count(touchpoints.touchpoint_id) as sample_size
    from metric_dates
    inner join spine
        on metric_dates.as_of_date = spine.as_of_date
    inner join accounts
        on spine.account_id = accounts.account_id
    left join touchpoints
        on
            spine.account_id = touchpoints.account_id
            and spine.as_of_date > cast(touchpoints.occurred_at as date)
            and touchpoints.channel in ('meeting', 'review')
    where
        metric_dates.metric_key = 'checkin_overdue_days'
        and accounts.review_cadence_days > 0
    group by 1, 2, 3, 4, 5, 6
),

-- days past the agreed rhythm, counted from the start of the account where none was held yet
overdue_reviews as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        cast(
            greatest(
                coalesce(
                    {{ customer_health.days_between(
                        'cast(last_review_at as date)', 'as_of_date'
                    ) }},
                    tenure_days
                ) - review_cadence_days,
                0
            ) as {{ customer_health.type_double() }}
        ) as metric_value,
        coalesce(last_review_at, cast(as_of_date as timestamp)) as observed_at,
        sample_size
    from last_reviews
),

ranked_sentiments as (
    select
        sentiments.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        sentiments.sentiment,
        sentiments.recorded_at,
        row_number() over (
            partition by
                sentiments.account_id,
                metric_dates.as_of_date,
                metric_dates.scoring_version,
                metric_dates.metric_key
            order by sentiments.recorded_at desc, sentiments.sentiment_id asc
        ) as recency_rank
    from metric_dates
    inner join sentiments
        on metric_dates.as_of_date > cast(sentiments.recorded_at as date)
    where metric_dates.metric_key = 'csm_sentiment'
),

latest_sentiments as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        cast(sentiment as {{ customer_health.type_double() }}) as metric_value,
        recorded_at as observed_at,
        1 as sample_size
    from ranked_sentiments
    where recency_rank = 1
),

-- the source overwrites a goal's current value: it is read as it is now, the date of reaching the
-- goal as it was
goal_states as (
    select
        goals.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        goals.updated_at,
        case
            when cast(goals.achieved_at as date) < metric_dates.as_of_date then 1
            else greatest(0, least(1, coalesce({{ customer_health.safe_divide(
                'goals.current_value - goals.baseline_value',
                'goals.target_value - goals.baseline_value'
            ) }}, 0)))
        end as progress
    from metric_dates
    inner join goals
        on metric_dates.metric_key = 'goal_progress'
),

goal_progress as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        {{ customer_health.safe_divide(customer_health.exact_sum('progress'), 'count(*)') }}
            as metric_value,
        cast(as_of_date as timestamp) as observed_at,
        count(*) as sample_size
    from goal_states
    group by 1, 2, 3, 4
),

tenure as (
    select
        spine.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        cast(spine.tenure_days as {{ customer_health.type_double() }}) as metric_value,
        cast(spine.as_of_date as timestamp) as observed_at,
        1 as sample_size
    from metric_dates
    inner join spine
        on metric_dates.as_of_date = spine.as_of_date
    where metric_dates.metric_key = 'tenure_days'
),

measured as (
    select * from champion_presence
    union all
    select * from silence
    union all
    select * from overdue_reviews
    union all
    select * from latest_sentiments
    union all
    select * from goal_progress
    union all
    select * from tenure
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        metric_value,
        observed_at,
        cast(sample_size as bigint) as sample_size,
        'observed' as value_state
    from measured
    where metric_value is not null
)

select * from final
