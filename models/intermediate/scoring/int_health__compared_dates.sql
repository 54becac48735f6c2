-- Which earlier row of the same account a row is compared with: the previous one, and those 7, 28
-- and 91 days before. Only rows that both have a score.
{% set lags = ['7', '28', '91'] %}

with

-- only rows whose metric rows are kept can be explained
account_scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where {{ customer_health.is_kept('as_of_date', 'component_history_days', keep_sundays=true) }}
),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

later_rows as (
    select
        account_scores.account_id,
        account_scores.as_of_date
    from account_scores
    inner join build_dates
        on account_scores.as_of_date = build_dates.as_of_date
    where
        account_scores.health_score_exact is not null
        and {{ customer_health.is_kept('account_scores.as_of_date', 'change_history_days') }}
),

earlier_rows as (
    select
        account_id,
        as_of_date
    from account_scores
    where
        health_score_exact is not null
        -- no row further back is compared: the longest lag, or a gap as long as it
        and as_of_date >= (
            select {{ customer_health.add_days('min(as_of_date)', -91) }}
            from later_rows
        )
),

previous_rows as (
    select
        later_rows.account_id,
        later_rows.as_of_date,
        max(earlier_rows.as_of_date) as compared_date
    from later_rows
    inner join earlier_rows
        on
            later_rows.account_id = earlier_rows.account_id
            and later_rows.as_of_date > earlier_rows.as_of_date
            and {{ customer_health.add_days('later_rows.as_of_date', -91) }}
            <= earlier_rows.as_of_date
    group by 1, 2
),

final as (
    select
        account_id,
        as_of_date,
        'previous' as lag_key,
        compared_date
    from previous_rows

    {% for lag in lags %}
    union all

    select
        later_rows.account_id,
        later_rows.as_of_date,
        '{{ lag }}' as lag_key,
        earlier_rows.as_of_date as compared_date
    from later_rows
    inner join earlier_rows
        on
            later_rows.account_id = earlier_rows.account_id
            and {{ customer_health.add_days('later_rows.as_of_date', '-' ~ lag) }}
            = earlier_rows.as_of_date
    {% endfor %}
)

select * from final
