with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

exchange_rates as (select * from {{ ref('int_health__valid_billing_exchange_rates') }}),

newest_before as (
    select
        exchange_rates.currency_code,
        build_dates.as_of_date,
        max(exchange_rates.rate_date) as rate_date
    from build_dates
    inner join exchange_rates
        on build_dates.as_of_date > exchange_rates.rate_date
    where exchange_rates.currency_code <> {{ customer_health.code_var('reporting_currency') }}
    group by 1, 2
),

final as (
    select
        newest_before.currency_code,
        newest_before.as_of_date,
        exchange_rates.rate_to_reporting_currency
    from newest_before
    inner join exchange_rates
        on
            newest_before.currency_code = exchange_rates.currency_code
            and newest_before.rate_date = exchange_rates.rate_date

    union all

    select
        {{ customer_health.code_var('reporting_currency') }} as currency_code,
        as_of_date,
        cast(1 as {{ customer_health.type_double() }}) as rate_to_reporting_currency
    from build_dates
)

select * from final
