-- A view over the source and never a copy of it.
{{ config(materialized='view') }}

with

usage_days as (select * from {{ ref('int_health__windowed_product_usage_daily') }}),

account_starts as (select * from {{ ref('int_health__account_starts') }}),

final as (
    select
        {{ customer_health.contract_columns('product_usage_daily', 'usage_days') | indent(8) }},
        {{ customer_health.row_key('product_usage_daily', 'usage_days') }} as row_key,
        usage_days.loaded_at,
        case
            {{ customer_health.value_checks('product_usage_daily', 'usage_days') }}
            when account_starts.account_id is null then 'orphan'
            when usage_days.usage_date < account_starts.started_on then 'before_start'
            when
                {{ customer_health.days_between(
                    'usage_days.loaded_at', 'usage_days.usage_date'
                ) }} > 1
                then 'future'
            when
                usage_days.event_count < 0
                or usage_days.active_users < 0
                or usage_days.duration_seconds < 0
                then 'out_of_range'
        end as rejection_reason
    from usage_days
    left join account_starts
        on usage_days.account_id = account_starts.account_id
)

select * from final
