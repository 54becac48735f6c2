with

invoices as (select * from {{ ref('int_health__valid_billing_invoices') }}),

exchange_rates as (select * from {{ ref('int_health__valid_billing_exchange_rates') }}),

rate_dates as (
    select
        invoices.invoice_id,
        max(exchange_rates.rate_date) as rate_date
    from invoices
    inner join exchange_rates
        on
            invoices.currency_code = exchange_rates.currency_code
            and exchange_rates.rate_date <= cast(invoices.issued_at as date)
    group by 1
),

final as (
    select
        invoices.invoice_id,
        invoices.account_id,
        invoices.invoice_type,
        invoices.status,
        cast(invoices.issued_at as date) as issued_on,
        cast(invoices.due_at as date) as due_on,
        invoices.due_at,
        invoices.paid_at,
        cast(invoices.paid_at as date) as paid_on,
        -- refunds may come with either sign
        case when invoices.invoice_type = 'refund' then -1 else 1 end
        * abs(invoices.amount)
        * case
            when invoices.currency_code = {{ customer_health.code_var('reporting_currency') }}
                then 1
            else exchange_rates.rate_to_reporting_currency
        end as amount
    from invoices
    left join rate_dates
        on invoices.invoice_id = rate_dates.invoice_id
    left join exchange_rates
        on
            rate_dates.rate_date = exchange_rates.rate_date
            and invoices.currency_code = exchange_rates.currency_code
)

select * from final
