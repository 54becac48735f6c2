-- A view over the source and never a copy of it.
{{ config(materialized='view') }}

with

events as (select * from {{ ref('int_health__windowed_product_events') }}),

account_starts as (select * from {{ ref('int_health__account_starts') }}),

final as (
    select
        {{ customer_health.contract_columns('product_events', 'events') | indent(8) }},
        {{ customer_health.row_key('product_events', 'events') }} as row_key,
        events.loaded_at,
        case
            {{ customer_health.value_checks('product_events', 'events') }}
            when account_starts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('events', ['occurred_at']) }}
            {{ customer_health.account_start_check('events', 'occurred_at') }}
            when events.duration_seconds < 0 then 'out_of_range'
        end as rejection_reason
    from events
    left join account_starts
        on events.account_id = account_starts.account_id
)

select * from final
