-- An order is also the last time that customer and shop dealt with each other.
with

order_rows as (select * from {{ source('cdnow_orders', 'orders') }}),

days as (
    select distinct
        customer_id,
        order_date
    from order_rows
),

final as (
    select
        customer_id || '-' || cast(order_date as varchar) as touchpoint_id,
        customer_id as account_id,
        cast(null as varchar) as contact_id,
        'order' as channel,
        'two_way' as direction,
        cast(order_date as timestamp) as occurred_at,
        cast(null as timestamp) as next_planned_at,
        cast(null as timestamp) as loaded_at,
        case
            when customer_id is null then 'null_key'
            when order_date is null then 'missing_value'
        end as rejection_reason
    from days
)

select * from final
