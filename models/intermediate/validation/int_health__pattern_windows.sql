-- The numbers of int_health__outcome_patterns read back: what each says about each window.
with

outcome_patterns as (select * from {{ ref('int_health__outcome_patterns') }}),

window_digits as (select * from {{ ref('int_health__window_digits') }}),

patterns as (select distinct outcome_pattern from outcome_patterns),

read_back as (
    select
        patterns.outcome_pattern,
        window_digits.lead_days,
        window_digits.horizon_days,
        window_digits.is_headline,
        {{ customer_health.base_4_digit('patterns.outcome_pattern', 'window_digits.digit_value') }}
            as digit
    from patterns
    cross join window_digits
),

final as (
    select
        outcome_pattern,
        lead_days,
        horizon_days,
        is_headline,
        cast(digit - 1 as integer) as is_churned
    from read_back
    where digit > 0
)

select * from final
