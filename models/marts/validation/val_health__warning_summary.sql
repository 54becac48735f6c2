-- Whether warnings come in time, and how often they come for nothing: a score that calls everybody
-- at risk warns of every churn.
with

churn_warnings as (select * from {{ ref('val_health__churn_warnings') }}),

scoring_versions as (select * from {{ ref('scoring_versions') }}),

labelled_observations as (
    select *
    from {{ ref('int_health__labelled_observations') }}
    where is_headline and is_churned = 0 and band_rank is not null
),

limits as (select * from {{ ref('int_health__validation_limits') }}),

dated_warnings as (
    select
        churn_warnings.*,
        case
            when coalesce(churn_warnings.churn_date >= scoring_versions.fitted_to, true)
                then 'out_of_time'
            else 'fitted'
        end as period,
        churn_warnings.is_false_green is not null as is_judged,
        -- an account that nobody warned of was warned of 0 days before
        coalesce(churn_warnings.lead_days, 0) as warned_days
    from churn_warnings
    inner join scoring_versions
        on churn_warnings.scoring_version = scoring_versions.scoring_version
),

sliced_warnings as (
    select
        'all' as slice_kind,
        'all' as slice_value,
        dated_warnings.*
    from dated_warnings

    union all

    select
        'period' as slice_kind,
        dated_warnings.period as slice_value,
        dated_warnings.*
    from dated_warnings
),

ordered_warnings as (
    select
        *,
        row_number() over (
            partition by scoring_version, scorecard_key, slice_kind, slice_value, is_judged
            order by warned_days asc, account_id asc, churn_date asc
        ) as lead_rank,
        count(*) over (
            partition by scoring_version, scorecard_key, slice_kind, slice_value, is_judged
        ) as lead_count
    from sliced_warnings
),

summed_warnings as (
    select
        scoring_version,
        scorecard_key,
        slice_kind,
        slice_value,
        count(*) as churner_count,
        count(is_false_green) as judged_count,
        sum(case when is_false_green then 1 else 0 end) as false_green_count,
        sum(case when is_judged and warning_kind <> 'none' then 1 else 0 end) as warned_count,
        sum(case when is_judged and lead_to_notice_days > 0 then 1 else 0 end)
            as warned_before_notice_count,
        sum(case when is_judged and is_lead_open then 1 else 0 end) as lead_open_count,
        -- the middle one, or the mean of the two in the middle
        avg(case
            when is_judged and 2 * lead_rank between lead_count and lead_count + 2
                then cast(warned_days as {{ customer_health.type_double() }})
        end) as median_lead_days
    from ordered_warnings
    group by 1, 2, 3, 4
),

stayed as (
    select
        scoring_version,
        scorecard_key,
        case when is_out_of_time then 'out_of_time' else 'fitted' end as period,
        count(*) as other_count,
        sum(case when band in ('critical', 'at_risk') then 1 else 0 end) as other_below_count
    from labelled_observations
    group by 1, 2, 3
),

summed_others as (
    select
        scoring_version,
        scorecard_key,
        'all' as slice_kind,
        'all' as slice_value,
        sum(other_count) as other_count,
        sum(other_below_count) as other_below_count
    from stayed
    group by 1, 2

    union all

    select
        scoring_version,
        scorecard_key,
        'period' as slice_kind,
        period as slice_value,
        other_count,
        other_below_count
    from stayed
),

final as (
    select
        summed_warnings.scoring_version,
        summed_warnings.scorecard_key,
        summed_warnings.slice_kind,
        summed_warnings.slice_value,
        cast(summed_warnings.churner_count as bigint) as churner_count,
        cast(summed_warnings.judged_count as bigint) as judged_count,
        cast(summed_warnings.false_green_count as bigint) as false_green_count,
        cast(summed_warnings.warned_count as bigint) as warned_count,
        cast(summed_warnings.warned_before_notice_count as bigint) as warned_before_notice_count,
        cast(summed_warnings.lead_open_count as bigint) as lead_open_count,
        summed_warnings.judged_count >= limits.fewest_churners as has_enough_outcomes,
        {{ customer_health.round_score(
            'case when summed_warnings.judged_count >= limits.fewest_churners then '
            ~ customer_health.safe_divide(
                'summed_warnings.false_green_count', 'summed_warnings.judged_count'
            ) ~ ' end'
        ) }} as false_green_share,
        {{ customer_health.round_score(
            'case when summed_warnings.judged_count >= limits.fewest_churners then '
            ~ customer_health.wilson_bound(
                'summed_warnings.false_green_count', 'summed_warnings.judged_count', 'low'
            ) ~ ' end'
        ) }} as share_low,
        {{ customer_health.round_score(
            'case when summed_warnings.judged_count >= limits.fewest_churners then '
            ~ customer_health.wilson_bound(
                'summed_warnings.false_green_count', 'summed_warnings.judged_count', 'high'
            ) ~ ' end'
        ) }} as share_high,
        case
            when summed_warnings.judged_count >= limits.fewest_churners
                then summed_warnings.median_lead_days
        end as median_lead_days,
        cast(coalesce(summed_others.other_count, 0) as bigint) as other_observation_count,
        cast(coalesce(summed_others.other_below_count, 0) as bigint) as other_below_healthy_count,
        {{ customer_health.round_score(customer_health.safe_divide(
            'summed_others.other_below_count', 'summed_others.other_count'
        )) }} as other_below_healthy_share
    from summed_warnings
    cross join limits
    left join summed_others
        on
            summed_warnings.scoring_version = summed_others.scoring_version
            and summed_warnings.scorecard_key = summed_others.scorecard_key
            and summed_warnings.slice_kind = summed_others.slice_kind
            and summed_warnings.slice_value = summed_others.slice_value
)

select * from final
