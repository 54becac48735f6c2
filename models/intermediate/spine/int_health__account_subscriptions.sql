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
                coalesce(
                    terms.billing_period_months * 30
                    > {{ customer_health.integer_var('renewal_window_days') }},
                    true
                )
                then terms.renewal_date
        end as renewal_date,
        terms.is_renewal_projected,
        case
            when
                terms.is_renewal_projected
                and terms.billing_period_months > 0
                and terms.renewal_date < build_dates.as_of_date
                then cast(floor({{ customer_health.safe_divide(
                    dbt.datediff('terms.renewal_date', 'build_dates.as_of_date', 'month'),
                    'terms.billing_period_months'
                ) }}) as integer) * terms.billing_period_months
            else 0
        end as months_renewed
    from terms
    inner join build_dates
        on build_dates.as_of_date between terms.active_from and terms.active_to
    left join rates
        on
            terms.currency_code = rates.currency_code
            and build_dates.as_of_date = rates.as_of_date
),

-- an open-ended term without a billed renewal renews once per billing period
rolled_forward as (
    select
        *,
        cast({{ dbt.dateadd('month', 'months_renewed', 'renewal_date') }} as date)
            as rolled_renewal_date,
        cast({{ dbt.dateadd(
            'month', 'months_renewed + coalesce(billing_period_months, 0)', 'renewal_date'
        ) }} as date) as following_renewal_date
    from active_terms
),

with_next_renewal as (
    select
        account_id,
        as_of_date,
        seats,
        billing_period_months,
        mrr_amount,
        cancel_requested_on,
        case
            when not is_renewal_projected or rolled_renewal_date >= as_of_date
                then rolled_renewal_date
            else following_renewal_date
        end as renewal_date
    from rolled_forward
),

final as (
    select
        account_id,
        as_of_date,
        cast(sum(seats) as bigint) as seats,
        -- one amount that nobody knows makes the sum unknown
        case
            when count(*) = count(mrr_amount)
                then cast(
                    {{ customer_health.exact_sum('mrr_amount') }}
                    as {{ customer_health.type_double() }}
                )
        end as mrr_amount,
        max(billing_period_months) as billing_period_months,
        min(renewal_date) as renewal_date,
        max(cancel_requested_on) as cancel_requested_on
    from with_next_renewal
    group by 1, 2
)

select * from final
