{{ config(materialized='table') }}

with

invoices as (select * from {{ ref('stg_health__billing_invoices') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

rates as (select * from {{ ref('int_health__valid_billing_exchange_rates') }}),

first_rates as (
    select
        currency_code,
        min(rate_date) as rate_date
    from rates
    group by 1
),

checked as (
    select
        {{ customer_health.contract_columns('billing_invoices', 'invoices') | indent(8) }},
        {{ customer_health.row_key('billing_invoices', 'invoices') }} as row_key,
        invoices.loaded_at,
        case
            {{ customer_health.value_checks('billing_invoices', 'invoices') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('invoices', ['issued_at', 'paid_at']) }}
            when invoices.amount < 0 and invoices.invoice_type <> 'refund' then 'negative_amount'
            when
                invoices.currency_code <> {{ customer_health.code_var('reporting_currency') }}
                and (
                    first_rates.rate_date is null
                    or first_rates.rate_date > cast(invoices.issued_at as date)
                )
                then 'missing_rate'
        end as rejection_reason
    from invoices
    left join valid_accounts
        on invoices.account_id = valid_accounts.account_id
    left join first_rates
        on invoices.currency_code = first_rates.currency_code
),

{{ customer_health.settled_rows('billing_invoices') }}

select * from final
