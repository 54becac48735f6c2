-- An order is paid when it is placed: one invoice per customer and day.
with

order_rows as (select * from {{ source('cdnow_orders', 'orders') }}),

days as (
    select
        customer_id,
        order_date,
        sum(dollar_value) as amount
    from order_rows
    group by 1, 2
),

final as (
    select
        customer_id || '-' || cast(order_date as varchar) as invoice_id,
        customer_id as account_id,
        cast(null as varchar) as subscription_id,
        'charge' as invoice_type,
        amount,
        'USD' as currency_code,
        cast(order_date as timestamp) as issued_at,
        cast(order_date as timestamp) as due_at,
        cast(order_date as timestamp) as paid_at,
        'paid' as status,
        cast(null as timestamp) as loaded_at,
        case
            when customer_id is null then 'null_key'
            when order_date is null or amount is null then 'missing_value'
        end as rejection_reason
    from days
)

select * from final
