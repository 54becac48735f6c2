-- Do better bands churn less? Inversions within the intervals say nothing; a trend over all bands
-- may still be there (Cochran 1954, Armitage 1955).
{% set z = customer_health.normal_quantile_95() %}

with

band_outcomes as (
    select *
    from {{ ref('val_health__band_outcomes') }}
    where
        outcome = 'churn'
        and band_rank is not null
),

labelled_observations as (select * from {{ ref('int_health__labelled_observations') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

churners as (
    select distinct
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        is_out_of_time,
        account_id
    from labelled_observations
    where
        is_churned = 1
        and band_rank is not null
),

churner_slices as (
    {{ customer_health.period_slices('churners') | indent(4) }}
),

churner_counts as (
    select
        scoring_version,
        scorecard_key,
        lead_days,
        horizon_days,
        slice_kind,
        slice_value,
        count(distinct account_id) as churner_count
    from churner_slices
    group by 1, 2, 3, 4, 5, 6
),

-- each band beside the worse ones
compared as (
    select
        *,
        lag(rate) over (
            partition by
                scoring_version, scorecard_key, lead_days, horizon_days, slice_kind, slice_value
            order by band_rank, band
        ) as worse_rate,
        min(rate_high) over (
            partition by
                scoring_version, scorecard_key, lead_days, horizon_days, slice_kind, slice_value
            order by band_rank, band
            rows between unbounded preceding and 1 preceding
        ) as worse_rate_high
    from band_outcomes
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
        cast(sum(observation_count) as {{ customer_health.type_double() }}) as observation_count,
        cast(sum(outcome_count) as {{ customer_health.type_double() }}) as outcome_count,
        cast(sum(band_rank * observation_count) as {{ customer_health.type_double() }}) as rank_sum,
        cast(sum(band_rank * band_rank * observation_count) as {{ customer_health.type_double() }})
            as rank_square_sum,
        cast(sum(band_rank * outcome_count) as {{ customer_health.type_double() }})
            as outcome_rank_sum,
        max(case when rate > worse_rate then 1 else 0 end) as has_inversion,
        max(case when rate_low > worse_rate_high then 1 else 0 end) as has_clear_inversion
    from compared
    group by 1, 2, 3, 4, 5, 6, 7
),

trends as (
    select
        *,
        outcome_rank_sum - {{ customer_health.safe_divide(
            'outcome_count * rank_sum', 'observation_count'
        ) }} as trend,
        {{ customer_health.safe_divide('outcome_count', 'observation_count') }}
        * (1 - {{ customer_health.safe_divide('outcome_count', 'observation_count') }})
        * (rank_square_sum - {{ customer_health.safe_divide(
            'rank_sum * rank_sum', 'observation_count'
        ) }}) as variance
    from summed
),

tested as (
    select
        trends.*,
        coalesce(churner_counts.churner_count, 0) as churner_count,
        case when trends.variance > 0 then trends.trend / sqrt(trends.variance) end as trend_z
    from trends
    left join churner_counts
        on
            trends.scoring_version = churner_counts.scoring_version
            and trends.scorecard_key = churner_counts.scorecard_key
            and trends.lead_days = churner_counts.lead_days
            and trends.horizon_days = churner_counts.horizon_days
            and trends.slice_kind = churner_counts.slice_kind
            and trends.slice_value = churner_counts.slice_value
),

final as (
    select
        tested.scoring_version,
        tested.scorecard_key,
        cast(tested.lead_days as bigint) as lead_days,
        cast(tested.horizon_days as bigint) as horizon_days,
        tested.is_headline,
        tested.slice_kind,
        tested.slice_value,
        cast(tested.observation_count as bigint) as observation_count,
        cast(tested.churner_count as bigint) as churner_count,
        case when tested.churner_count >= limits.fewest_churners then tested.has_inversion = 0 end
            as is_monotone,
        case
            when tested.churner_count >= limits.fewest_churners
                then {{ customer_health.round_score('tested.trend_z') }}
        end as trend_z,
        case
            when tested.churner_count >= limits.fewest_churners
                then {{ customer_health.normal_tail('tested.trend_z') }}
        end as trend_p_value,
        case
            when tested.churner_count < limits.fewest_churners then 'not_enough_outcomes'
            when tested.has_inversion = 0 then 'monotone'
            when
                tested.has_clear_inversion = 1
                and tested.observation_count >= limits.monotone_gate_accounts
                then 'not_monotone'
            when tested.trend_z < -{{ z }} then 'trend'
            else 'not_distinguishable'
        end as verdict_key
    from tested
    cross join limits
)

select * from final
