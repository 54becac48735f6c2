-- The override of a CSM that is in force, per account and date: the newest one that has begun and
-- not expired. It sets the band of the health scorecard; the score is left alone.
with

assignments as (select * from {{ ref('int_health__scorecard_assignments') }}),

overrides as (select * from {{ ref('int_health__valid_crm_health_overrides') }}),

scorecard_bands as (select * from {{ ref('int_health__scorecard_bands') }}),

in_force as (
    select
        assignments.account_id,
        assignments.as_of_date,
        assignments.scoring_version,
        assignments.scorecard_key,
        scorecard_bands.band_rank,
        overrides.reason,
        overrides.author_id,
        cast(overrides.expires_at as date) as expires_on,
        row_number() over (
            partition by
                assignments.account_id,
                assignments.as_of_date,
                assignments.scoring_version,
                assignments.scorecard_key
            order by overrides.created_at desc, overrides.override_id asc
        ) as recency_rank
    from assignments
    inner join overrides
        on
            assignments.account_id = overrides.account_id
            and assignments.as_of_date > cast(overrides.created_at as date)
            and assignments.as_of_date <= cast(overrides.expires_at as date)
    inner join scorecard_bands
        on
            assignments.scoring_version = scorecard_bands.scoring_version
            and assignments.scorecard_key = scorecard_bands.scorecard_key
            and overrides.band_key = scorecard_bands.band_key
    where
        assignments.purpose = 'health'
        and overrides.reason is not null
        and overrides.author_id is not null
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        band_rank,
        reason,
        author_id,
        expires_on
    from in_force
    where recency_rank = 1
)

select * from final
