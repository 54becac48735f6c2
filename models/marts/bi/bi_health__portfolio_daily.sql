{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    tags=['customer_health_history']
) }}
{% set dimensions = ['segment', 'csm_id', 'plan'] %}

with

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

current_rows as (
    select account_scores.*
    from account_scores
    inner join build_dates
        on account_scores.as_of_date = build_dates.as_of_date
),

compared_rows as (
    select
        current_rows.as_of_date,
        current_rows.segment,
        current_rows.csm_id,
        current_rows.plan,
        current_rows.band,
        current_rows.band_rank,
        current_rows.health_score_exact,
        coalesce(current_rows.arr_amount, 0) as arr_amount,
        week_ago.band as band_7_days_ago,
        week_ago.band_rank as band_rank_7_days_ago,
        current_rows.health_score_exact - four_weeks_ago.health_score_exact as score_change_28_days
    from current_rows
    left join account_scores as week_ago
        on
            current_rows.account_id = week_ago.account_id
            and {{ customer_health.add_days('current_rows.as_of_date', -7) }} = week_ago.as_of_date
    left join account_scores as four_weeks_ago
        on
            current_rows.account_id = four_weeks_ago.account_id
            and {{ customer_health.add_days('current_rows.as_of_date', -28) }}
            = four_weeks_ago.as_of_date
),

by_dimension as (
    select
        *,
        'all' as dimension,
        'all' as dimension_value
    from compared_rows

    {% for dimension in dimensions %}
    union all

    select
        *,
        '{{ dimension }}' as dimension,
        coalesce({{ dimension }}, '(none)') as dimension_value
    from compared_rows
    {% endfor %}
),

by_band as (
    select
        *,
        band as portfolio_band
    from by_dimension

    union all

    select
        *,
        'all' as portfolio_band
    from by_dimension
),

final as (
    select
        as_of_date,
        dimension,
        dimension_value,
        portfolio_band as band,
        cast(count(*) as bigint) as account_count,
        cast(count(health_score_exact) as bigint) as scored_account_count,
        cast({{ customer_health.exact_sum('arr_amount') }} as {{ customer_health.type_double() }})
            as arr_amount,
        {{ customer_health.round_score(customer_health.safe_divide(
            customer_health.exact_sum('health_score_exact'), 'count(health_score_exact)'
        )) }} as mean_health_score,
        {{ customer_health.round_score(customer_health.safe_divide(
            customer_health.exact_sum('score_change_28_days'), 'count(score_change_28_days)'
        )) }} as mean_score_change_28_days,
        cast(sum(case
            when
                band_7_days_ago is not null
                and {{ customer_health.is_distinct('band', 'band_7_days_ago') }}
                then 1
            else 0
        end) as bigint) as moved_account_count,
        cast(sum(case when band_rank > band_rank_7_days_ago then 1 else 0 end) as bigint)
            as moved_up_account_count,
        cast(sum(case when band_rank < band_rank_7_days_ago then 1 else 0 end) as bigint)
            as moved_down_account_count
    from by_band
    group by 1, 2, 3, 4
)

select * from final
