-- The path from an earlier score to a later one, metric by metric, in four steps: P0 as it was;
-- P1 the earlier values under the later policy; P2 the later values of what was known earlier;
-- P3 as it is. Each step changes one thing, so that the differences can be named.
-- A path is walked once for a pair of dates, whatever lags name it: the row before and the one of
-- 7 days before are often the same. Read by one model alone.
{{ config(materialized='view') }}

with

compared_dates as (select * from {{ ref('int_health__compared_dates') }}),

metric_scores as (
    select *
    from {{ ref('fct_health__metric_scores') }}
    where purpose = 'health'
),

anchor_segments as (select * from {{ ref('int_health__anchor_segments') }}),

compared_pairs as (
    select distinct
        account_id,
        as_of_date,
        compared_date
    from compared_dates
),

later_metrics as (
    select
        compared_pairs.account_id,
        compared_pairs.as_of_date,
        compared_pairs.compared_date,
        metric_scores.scoring_version,
        metric_scores.scorecard_key,
        metric_scores.category_key,
        metric_scores.metric_key,
        metric_scores.metric_label,
        metric_scores.category_weight,
        metric_scores.metric_weight,
        metric_scores.tenure_days,
        metric_scores.metric_value,
        metric_scores.metric_score,
        metric_scores.metric_points,
        metric_scores.value_state in ('observed', 'zero') as is_known
    from compared_pairs
    inner join metric_scores
        on
            compared_pairs.account_id = metric_scores.account_id
            and compared_pairs.as_of_date = metric_scores.as_of_date
),

earlier_metrics as (
    select
        compared_pairs.account_id,
        compared_pairs.as_of_date,
        compared_pairs.compared_date,
        metric_scores.metric_key,
        metric_scores.metric_label,
        metric_scores.metric_value,
        metric_scores.metric_points,
        metric_scores.value_state in ('observed', 'zero') as is_known
    from compared_pairs
    inner join metric_scores
        on
            compared_pairs.account_id = metric_scores.account_id
            and compared_pairs.compared_date = metric_scores.as_of_date
),

-- metrics of the later policy, with what was known of them earlier
under_later_policy as (
    select
        later_metrics.*,
        earlier_metrics.metric_value as earlier_value,
        coalesce(earlier_metrics.is_known, false) as was_known,
        coalesce(earlier_metrics.metric_points, 0) as points_p0
    from later_metrics
    left join earlier_metrics
        on
            later_metrics.account_id = earlier_metrics.account_id
            and later_metrics.as_of_date = earlier_metrics.as_of_date
            and later_metrics.compared_date = earlier_metrics.compared_date
            and later_metrics.metric_key = earlier_metrics.metric_key
),

rescored as (
    select
        under_later_policy.*,
        case
            when under_later_policy.was_known
                then {{ customer_health.anchor_score(
                    'under_later_policy.earlier_value', 'anchor_segments'
                ) }}
        end as score_p1
    from under_later_policy
    left join anchor_segments
        on {{ customer_health.anchor_join(
            'under_later_policy', 'under_later_policy.earlier_value', 'anchor_segments'
        ) }}
),

known_categories as (
    select
        account_id,
        as_of_date,
        compared_date,
        category_key,
        max(category_weight) as category_weight,
        {{ customer_health.exact_sum('metric_weight') }} as known_metric_weight
    from rescored
    where was_known
    group by 1, 2, 3, 4
),

known_totals as (
    select
        account_id,
        as_of_date,
        compared_date,
        {{ customer_health.exact_sum('category_weight') }} as known_category_weight
    from known_categories
    group by 1, 2, 3
),

with_shares as (
    select
        rescored.account_id,
        rescored.as_of_date,
        rescored.compared_date,
        rescored.metric_key,
        rescored.metric_label,
        rescored.earlier_value,
        rescored.metric_value,
        rescored.was_known,
        rescored.is_known,
        rescored.points_p0,
        rescored.metric_points,
        rescored.score_p1,
        case
            when rescored.is_known and rescored.was_known then rescored.metric_score
            else rescored.score_p1
        end as score_p2,
        coalesce(
            case
                when rescored.was_known
                    then 10
                    * {{ customer_health.safe_divide(
                        'rescored.category_weight', 'known_totals.known_category_weight'
                    ) }}
                    * {{ customer_health.safe_divide(
                        'rescored.metric_weight', 'known_categories.known_metric_weight'
                    ) }}
            end,
            0
        ) as points_per_score
    from rescored
    left join known_categories
        on
            rescored.account_id = known_categories.account_id
            and rescored.as_of_date = known_categories.as_of_date
            and rescored.compared_date = known_categories.compared_date
            and rescored.category_key = known_categories.category_key
    left join known_totals
        on
            rescored.account_id = known_totals.account_id
            and rescored.as_of_date = known_totals.as_of_date
            and rescored.compared_date = known_totals.compared_date
),

-- metrics that the later policy no longer counts leave with all their points
only_earlier as (
    select
        earlier_metrics.account_id,
        earlier_metrics.as_of_date,
        earlier_metrics.compared_date,
        earlier_metrics.metric_key,
        earlier_metrics.metric_label,
        earlier_metrics.metric_value as earlier_value,
        earlier_metrics.is_known as was_known,
        coalesce(earlier_metrics.metric_points, 0) as points_p0
    from earlier_metrics
    left join later_metrics
        on
            earlier_metrics.account_id = later_metrics.account_id
            and earlier_metrics.as_of_date = later_metrics.as_of_date
            and earlier_metrics.compared_date = later_metrics.compared_date
            and earlier_metrics.metric_key = later_metrics.metric_key
    where later_metrics.metric_key is null
),

final as (
    select
        account_id,
        as_of_date,
        compared_date,
        metric_key,
        metric_label,
        case when was_known then earlier_value end as earlier_value,
        case when is_known then metric_value end as later_value,
        points_p0,
        points_per_score * coalesce(score_p1, 0) as points_p1,
        points_per_score * coalesce(score_p2, 0) as points_p2,
        coalesce(metric_points, 0) as points_p3
    from with_shares

    union all

    select
        account_id,
        as_of_date,
        compared_date,
        metric_key,
        metric_label,
        case when was_known then earlier_value end as earlier_value,
        null as later_value,
        points_p0,
        0 as points_p1,
        0 as points_p2,
        0 as points_p3
    from only_earlier
)

select * from final
