-- What followed each band: churn, contraction, renewal and expansion, in accounts and in ARR.
with

labelled_observations as (select * from {{ ref('int_health__labelled_observations') }}),

counted as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        is_out_of_time,
        band,
        band_rank,
        count(*) as observation_count,
        {{ customer_health.exact_sum('arr_amount') }} as arr_amount,
        sum(is_churned) as churned_count,
        {{ customer_health.exact_sum('case when is_churned = 1 then arr_amount else 0 end') }}
            as churned_arr_amount,
        sum(is_contracted) as contracted_count,
        {{ customer_health.exact_sum('case when is_contracted = 1 then arr_amount else 0 end') }}
            as contracted_arr_amount,
        sum(is_renewed) as renewed_count,
        {{ customer_health.exact_sum('case when is_renewed = 1 then arr_amount else 0 end') }}
            as renewed_arr_amount,
        sum(is_expanded) as expanded_count,
        {{ customer_health.exact_sum('case when is_expanded = 1 then arr_amount else 0 end') }}
            as expanded_arr_amount
    from labelled_observations
    group by 1, 2, 3, 4, 5, 6, 7, 8
),

outcomes as (
    {% for outcome, counted_as in customer_health.outcome_kinds() %}
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        is_out_of_time,
        '{{ outcome }}' as outcome,
        band,
        band_rank,
        observation_count,
        {{ counted_as }}_count as outcome_count,
        arr_amount,
        {{ counted_as }}_arr_amount as outcome_arr_amount
    from counted

    {% if not loop.last %}
    union all

    {% endif %}
    {% endfor %}
),

slices as (
    {{ customer_health.period_slices('outcomes') | indent(4) }}
),

summed as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        outcome,
        band,
        band_rank,
        sum(observation_count) as observation_count,
        sum(outcome_count) as outcome_count,
        {{ customer_health.exact_sum('arr_amount') }} as arr_amount,
        {{ customer_health.exact_sum('outcome_arr_amount') }} as outcome_arr_amount
    from slices
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
),

final as (
    select
        scoring_version,
        scorecard_key,
        cast(lead_days as bigint) as lead_days,
        cast(horizon_days as bigint) as horizon_days,
        is_headline,
        slice_kind,
        slice_value,
        outcome,
        band,
        cast(band_rank as bigint) as band_rank,
        cast(observation_count as bigint) as observation_count,
        cast(outcome_count as bigint) as outcome_count,
        {{ customer_health.round_score(
            customer_health.safe_divide('outcome_count', 'observation_count')
        ) }} as rate,
        {{ customer_health.round_score(
            customer_health.wilson_bound('outcome_count', 'observation_count', 'low')
        ) }} as rate_low,
        {{ customer_health.round_score(
            customer_health.wilson_bound('outcome_count', 'observation_count', 'high')
        ) }} as rate_high,
        cast(arr_amount as {{ customer_health.type_double() }}) as arr_amount,
        cast(outcome_arr_amount as {{ customer_health.type_double() }}) as outcome_arr_amount
    from summed
)

select * from final
