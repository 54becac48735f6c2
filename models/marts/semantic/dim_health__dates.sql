-- The days of the history without a gap, which MetricFlow asks for (its time spine) and a BI tool
-- can use as its table of dates. Weekly scores leave days out, so they do not come from there.
{{ config(materialized='view') }}

with

calendar as (
    {{ dbt.date_spine(
        datepart='day',
        start_date=customer_health.date_var('history_from'),
        end_date=customer_health.add_days(customer_health.as_of_date(), 1)
    ) }}
),

final as (
    select cast(date_day as date) as date_day
    from calendar
)

select * from final
