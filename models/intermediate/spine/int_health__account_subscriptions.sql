with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

terms as (select * from {{ ref('int_health__subscription_terms') }}),

rates as (select * from {{ ref('int_health__exchange_rates') }}),

active_terms as (
    select
        terms.account_id,
        build_dates.as_of_date,
        terms.seats,
        terms.billing_period_months,
        terms.mrr_amount * rates.rate_to_reporting_currency as mrr_amount,
        case
            when terms.cancel_requested_on < build_dates.as_of_date then terms.cancel_requested_on
        end as cancel_requested_on,
        -- a term no longer than the renewal window renews all the time: that is no event
        case
            when
                terms.billing_period_months * 30
                > {{ customer_health.integer_var('renewal_window_days') }}
                then terms.renewal_date
        end as renewal_date
    from terms
    inner join build_dates
        on build_dates.as_of_date between terms.active_from and terms.active_to
    left join rates
        on
            terms.currency_code = rates.currency_code
            and build_dates.as_of_date = rates.as_of_date
),

final as (
    select
        account_id,
        as_of_date,
        cast(sum(seats) as bigint) as seats,
        cast({{ customer_health.exact_sum('mrr_amount') }} as {{ customer_health.type_double() }})
            as mrr_amount,
        max(billing_period_months) as billing_period_months,
        min(renewal_date) as renewal_date,
        max(cancel_requested_on) as cancel_requested_on
    from active_terms
    group by 1, 2
)

select * from final
