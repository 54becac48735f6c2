-- The champion and each challenger on the same observations: only where both have a score. Whatever
-- scorecard an account has in the one and in the other, it is one account.
with

labelled_observations as (
    select *
    from {{ ref('int_health__labelled_observations') }}
    where health_score is not null
),

scoring_versions as (select * from {{ ref('scoring_versions') }}),

in_force_now as (
    select scoring_version
    from scoring_versions
    where
        status <> 'challenger'
        and valid_from <= {{ customer_health.as_of_date() }}
    order by valid_from desc, scoring_version asc
    limit 1
),

champion_rows as (
    select labelled_observations.*
    from labelled_observations
    inner join in_force_now
        on labelled_observations.scoring_version = in_force_now.scoring_version
),

challenger_rows as (
    select labelled_observations.*
    from labelled_observations
    inner join scoring_versions
        on
            labelled_observations.scoring_version = scoring_versions.scoring_version
            and scoring_versions.status = 'challenger'
),

final as (
    select  -- noqa: ST06
        champion_rows.scoring_version as champion_version,
        challenger_rows.scoring_version as challenger_version,
        champion_rows.account_id,
        champion_rows.as_of_date,
        champion_rows.lead_days,
        champion_rows.horizon_days,
        champion_rows.is_headline,
        champion_rows.is_out_of_time and challenger_rows.is_out_of_time as is_out_of_time,
        champion_rows.is_churned,
        champion_rows.health_score as champion_score,
        challenger_rows.health_score as challenger_score
    from champion_rows
    inner join challenger_rows
        on
            champion_rows.account_id = challenger_rows.account_id
            and champion_rows.as_of_date = challenger_rows.as_of_date
            and champion_rows.lead_days = challenger_rows.lead_days
            and champion_rows.horizon_days = challenger_rows.horizon_days
)

select * from final
