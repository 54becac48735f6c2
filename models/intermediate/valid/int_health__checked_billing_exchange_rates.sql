{{ config(materialized='table') }}

with

rates as (select * from {{ ref('stg_health__billing_exchange_rates') }}),

checked as (
    select
        {{ customer_health.contract_columns('billing_exchange_rates', 'rates') | indent(8) }},
        {{ customer_health.row_key('billing_exchange_rates', 'rates') }} as row_key,
        rates.loaded_at,
        case
            {{ customer_health.value_checks('billing_exchange_rates', 'rates') }}
            when rates.rate_to_reporting_currency <= 0 then 'out_of_range'
        end as rejection_reason
    from rates
),

{{ customer_health.settled_rows('billing_exchange_rates') }}

select * from final
