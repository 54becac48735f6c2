-- The place of each window in the numbers of int_health__outcome_patterns: two bits, so that the
-- bits of several observations can be put together. There is room for 31 windows.
with

validation_windows as (select * from {{ ref('validation_windows') }}),

final as (
    select
        lead_days,
        horizon_days,
        is_headline,
        cast(power(4, row_number() over (order by lead_days, horizon_days) - 1) as bigint)
            as digit_value
    from validation_windows
)

select * from final
