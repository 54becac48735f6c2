-- An order is use: its day counts once as `order`, and so many times as `cd` as CDs were bought.
with

order_rows as (select * from {{ source('cdnow_orders', 'orders') }}),

days as (
    select
        customer_id,
        order_date,
        count(*) as order_count,
        sum(number_of_cds) as cd_count
    from order_rows
    group by 1, 2
),

counted as (
    select
        customer_id,
        order_date,
        'order' as event_name,
        order_count as event_count
    from days

    union all

    select
        customer_id,
        order_date,
        'cd' as event_name,
        cd_count as event_count
    from days
    where cd_count > 0
),

final as (
    select
        customer_id as account_id,
        order_date as usage_date,
        event_name,
        cast(event_count as bigint) as event_count,
        cast(null as bigint) as active_users,
        cast(null as double) as duration_seconds,
        cast(null as timestamp) as loaded_at,
        case
            when customer_id is null then 'null_key'
            when order_date is null then 'missing_value'
        end as rejection_reason
    from counted
)

select * from final
