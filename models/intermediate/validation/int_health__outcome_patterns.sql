-- What an observation was followed by in all windows at once, as one number in base 4: the digit of
-- a window is 0 where the observation does not count there, 1 where the account stayed, 2 where it
-- churned. There are few such numbers, so that millions of observations can be counted by them
-- first and spread over the windows afterwards.
with

labelled_observations as (select * from {{ ref('int_health__labelled_observations') }}),

window_digits as (select * from {{ ref('int_health__window_digits') }}),

final as (
    select
        labelled_observations.account_id,
        labelled_observations.as_of_date,
        labelled_observations.scoring_version,
        labelled_observations.scorecard_key,
        labelled_observations.is_out_of_time,
        labelled_observations.segment,
        labelled_observations.plan,
        labelled_observations.arr_amount,
        cast(
            sum((1 + labelled_observations.is_churned) * window_digits.digit_value) as bigint
        ) as outcome_pattern
    from labelled_observations
    inner join window_digits
        on
            labelled_observations.lead_days = window_digits.lead_days
            and labelled_observations.horizon_days = window_digits.horizon_days
    group by 1, 2, 3, 4, 5, 6, 7, 8
)

select * from final
