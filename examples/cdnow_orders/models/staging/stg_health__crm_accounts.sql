-- A customer begins with the first order and is gone when no order has come for the days of a lapse.
{% set lapsed_on = customer_health.add_days(
    'last_order_date', var('cdnow_orders_lapse_days') | int
) %}

with

order_rows as (select * from {{ source('cdnow_orders', 'orders') }}),

customers as (
    select
        customer_id,
        min(order_date) as first_order_date,
        max(order_date) as last_order_date
    from order_rows
    group by 1
),

final as (
    select
        customer_id as account_id,
        'Customer ' || customer_id as account_name,
        cast(null as varchar) as parent_account_id,
        cast(null as varchar) as domain,
        cast(null as varchar) as segment,
        cast(null as varchar) as industry,
        cast(null as varchar) as region,
        cast(null as varchar) as plan,
        cast(null as bigint) as seats_licensed,
        cast(null as varchar) as csm_id,
        cast(first_order_date as timestamp) as created_at,
        cast(null as timestamp) as trial_ends_at,
        case
            when {{ lapsed_on }} < cast('{{ var("cdnow_orders_data_end") }}' as date)
                then cast({{ lapsed_on }} as timestamp)
        end as churned_at,
        cast(null as varchar) as churn_reason,
        cast(null as varchar) as merged_into_account_id,
        false as is_deleted,
        cast(null as bigint) as review_cadence_days,
        cast(last_order_date as timestamp) as updated_at,
        cast(null as timestamp) as loaded_at,
        case
            when customer_id is null then 'null_key'
            when first_order_date is null then 'missing_value'
        end as rejection_reason
    from customers
)

select * from final
