with

metric_dates as (select * from {{ ref('int_health__metric_dates') }}),

tickets as (select * from {{ ref('int_health__valid_support_tickets') }}),

-- a ticket that is closed without a time of solving was solved at its last change
ended_tickets as (
    select
        account_id,
        complexity,
        priority,
        reopen_count,
        opened_at,
        coalesce(
            solved_at, case when status in ('solved', 'closed') then updated_at end
        ) as ended_at
    from tickets
),

dated_tickets as (
    select
        account_id,
        complexity,
        priority,
        opened_at,
        cast(opened_at as date) as opened_on,
        ended_at,
        cast(ended_at as date) as ended_on,
        coalesce(reopen_count, 0) as reopen_count
    from ended_tickets
),

opened_in_window as (
    select
        dated_tickets.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        count(*) as ticket_count,
        sum(dated_tickets.reopen_count) as reopen_count,
        count(dated_tickets.complexity) as rated_count,
        sum(dated_tickets.complexity) as complexity_sum,
        max(dated_tickets.opened_at) as last_opened_at
    from metric_dates
    inner join dated_tickets
        on
            metric_dates.as_of_date > dated_tickets.opened_on
            and metric_dates.window_from <= dated_tickets.opened_on
    where metric_dates.metric_key in ('tickets', 'ticket_complexity', 'reopened_tickets')
    group by 1, 2, 3, 4
),

solved_in_window as (
    select
        dated_tickets.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        count(*) as ticket_count,
        {{ customer_health.exact_sum(
            customer_health.seconds_between('dated_tickets.opened_at', 'dated_tickets.ended_at')
            ~ ' / 3600'
        ) }} as hours_sum,
        max(dated_tickets.ended_at) as last_ended_at
    from metric_dates
    inner join dated_tickets
        on
            metric_dates.as_of_date > dated_tickets.ended_on
            and metric_dates.window_from <= dated_tickets.ended_on
    where metric_dates.metric_key = 'resolution_hours'
    group by 1, 2, 3, 4
),

open_critical as (
    select
        dated_tickets.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        count(*) as ticket_count,
        max(dated_tickets.opened_at) as last_opened_at
    from metric_dates
    inner join dated_tickets
        on
            metric_dates.as_of_date > dated_tickets.opened_on
            and metric_dates.as_of_date <= coalesce(
                dated_tickets.ended_on, cast('9999-12-31' as date)
            )
    where
        metric_dates.metric_key = 'open_critical_tickets'
        and dated_tickets.priority = 'urgent'
    group by 1, 2, 3, 4
),

measured as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        case
            when metric_key = 'tickets'
                then cast(ticket_count as {{ customer_health.type_double() }})
            when metric_key = 'reopened_tickets'
                then cast(reopen_count as {{ customer_health.type_double() }})
            else {{ customer_health.safe_divide('complexity_sum', 'rated_count') }}
        end as metric_value,
        last_opened_at as observed_at,
        ticket_count as sample_size
    from opened_in_window

    union all

    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        {{ customer_health.safe_divide('hours_sum', 'ticket_count') }} as metric_value,
        last_ended_at as observed_at,
        ticket_count as sample_size
    from solved_in_window

    union all

    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        cast(ticket_count as {{ customer_health.type_double() }}) as metric_value,
        last_opened_at as observed_at,
        ticket_count as sample_size
    from open_critical
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
