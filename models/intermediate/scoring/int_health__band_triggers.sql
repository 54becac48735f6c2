-- For each row and band edge: whether the score says clearly that the account is above or below the
-- edge. "Clearly" is a Schmitt trigger: beyond the edge by the margin, on every scored day of the
-- last confirm_days. Between two decisions nothing is decided, and the last one holds.
with

account_scores as (select * from {{ ref('int_health__account_scores') }}),

scorecards as (select * from {{ ref('scorecards') }}),

scorecard_bands as (select * from {{ ref('int_health__scorecard_bands') }}),

build_dates as (select * from {{ ref('int_health__build_dates') }}),

build_start as (
    select min(day_number) as first_day
    from build_dates
),

-- rows before the first date that is built only say whether the margin was broken lately
recent_scores as (
    select
        account_scores.account_id,
        account_scores.as_of_date,
        account_scores.day_number,
        account_scores.scoring_version,
        account_scores.scorecard_key,
        account_scores.health_score,
        scorecards.hysteresis_points,
        scorecards.confirm_days,
        scorecards.fall_points,
        scorecards.fall_days,
        account_scores.day_number >= build_start.first_day as is_built
    from account_scores
    inner join scorecards
        on
            account_scores.scoring_version = scorecards.scoring_version
            and account_scores.scorecard_key = scorecards.scorecard_key
    cross join build_start
    where
        account_scores.day_number >= build_start.first_day
        - greatest(scorecards.confirm_days, coalesce(scorecards.fall_days, 0))
),

with_falls as (
    select
        recent_scores.account_id,
        recent_scores.as_of_date,
        recent_scores.day_number,
        recent_scores.scoring_version,
        recent_scores.scorecard_key,
        recent_scores.health_score,
        recent_scores.hysteresis_points,
        recent_scores.confirm_days,
        recent_scores.is_built,
        coalesce(
            earlier_scores.health_score - recent_scores.health_score >= recent_scores.fall_points,
            false
        ) as has_fallen
    from recent_scores
    left join recent_scores as earlier_scores
        on
            recent_scores.account_id = earlier_scores.account_id
            and recent_scores.scoring_version = earlier_scores.scoring_version
            and recent_scores.scorecard_key = earlier_scores.scorecard_key
            and recent_scores.day_number - recent_scores.fall_days = earlier_scores.day_number
),

-- the lower bound of every band but the lowest is an edge
edges as (
    select
        scoring_version,
        scorecard_key,
        band_rank,
        lower_bound
    from scorecard_bands
    where band_rank > 1
),

edge_rows as (
    select
        with_falls.*,
        edges.band_rank,
        edges.lower_bound,
        max(case
            when with_falls.health_score < edges.lower_bound + with_falls.hysteresis_points
                then with_falls.day_number
        end) over (
            partition by
                with_falls.account_id,
                with_falls.scoring_version,
                with_falls.scorecard_key,
                edges.band_rank
            order by with_falls.day_number
            rows between unbounded preceding and current row
        ) as last_day_not_above,
        max(case
            when with_falls.health_score >= edges.lower_bound - with_falls.hysteresis_points
                then with_falls.day_number
        end) over (
            partition by
                with_falls.account_id,
                with_falls.scoring_version,
                with_falls.scorecard_key,
                edges.band_rank
            order by with_falls.day_number
            rows between unbounded preceding and current row
        ) as last_day_not_below
    from with_falls
    inner join edges
        on
            with_falls.scoring_version = edges.scoring_version
            and with_falls.scorecard_key = edges.scorecard_key
),

final as (
    select
        account_id,
        as_of_date,
        day_number,
        scoring_version,
        scorecard_key,
        health_score,
        band_rank,
        health_score >= lower_bound as is_score_above,
        case
            when health_score is null then null
            when coalesce(day_number - last_day_not_above >= greatest(confirm_days, 1), true) then 1
            when coalesce(day_number - last_day_not_below >= greatest(confirm_days, 1), true) then 0
            when has_fallen and health_score < lower_bound - hysteresis_points then 0
        end as decision
    from edge_rows
    where is_built
)

select * from final
