{{ config(materialized='table') }}

with

subscriptions as (select * from {{ ref('stg_health__billing_subscriptions') }}),

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
        {{ customer_health.contract_columns('billing_subscriptions', 'subscriptions')
            | indent(8) }},
        {{ customer_health.row_key('billing_subscriptions', 'subscriptions') }} as row_key,
        subscriptions.loaded_at,
        case
            {{ customer_health.value_checks('billing_subscriptions', 'subscriptions') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('subscriptions', ['started_at'], is_past=false) }}
            when {{ customer_health.is_closed_early(
                'subscriptions.started_at', 'subscriptions.ended_at'
            ) }}
                then 'closed_before_opened'
            when subscriptions.seats < 0 or subscriptions.billing_period_months <= 0
                then 'out_of_range'
            when subscriptions.mrr_amount < 0 then 'negative_amount'
            -- converted day by day, so one rate before its end makes a subscription usable
            when
                subscriptions.currency_code <> {{ customer_health.code_var('reporting_currency') }}
                and (
                    first_rates.rate_date is null
                    or first_rates.rate_date > cast(subscriptions.ended_at as date)
                )
                then 'missing_rate'
        end as rejection_reason
    from subscriptions
    left join valid_accounts
        on subscriptions.account_id = valid_accounts.account_id
    left join first_rates
        on subscriptions.currency_code = first_rates.currency_code
),

{{ customer_health.settled_rows('billing_subscriptions') }}

select * from final
