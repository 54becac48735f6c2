-- The worst band that an exception of the policy allows, per account and date.
with

assignments as (select * from {{ ref('int_health__scorecard_assignments') }}),

knockouts as (select * from {{ ref('knockouts') }}),

known_values as (select * from {{ ref('int_health__knockout_values') }}),

scorecard_bands as (select * from {{ ref('int_health__scorecard_bands') }}),

hits as (
    select
        assignments.account_id,
        assignments.as_of_date,
        assignments.scoring_version,
        assignments.scorecard_key,
        scorecard_bands.band_rank as worst_band_rank,
        knockouts.reason,
        row_number() over (
            partition by
                assignments.account_id,
                assignments.as_of_date,
                assignments.scoring_version,
                assignments.scorecard_key
            order by scorecard_bands.band_rank, knockouts.metric_key, knockouts.reason
        ) as severity_rank
    from assignments
    inner join knockouts
        on
            assignments.scoring_version = knockouts.scoring_version
            and (
                assignments.scorecard_key = knockouts.scorecard_key
                or (knockouts.scorecard_key = '*' and assignments.purpose = 'health')
            )
    inner join known_values
        on
            assignments.account_id = known_values.account_id
            and assignments.as_of_date = known_values.as_of_date
            and assignments.scoring_version = known_values.scoring_version
            and assignments.scorecard_key = known_values.scorecard_key
            and knockouts.metric_key = known_values.metric_key
    inner join scorecard_bands
        on
            assignments.scoring_version = scorecard_bands.scoring_version
            and assignments.scorecard_key = scorecard_bands.scorecard_key
            and knockouts.worst_band_key = scorecard_bands.band_key
    where
        (knockouts.operator = '>=' and known_values.metric_value >= knockouts.value)
        or (knockouts.operator = '>' and known_values.metric_value > knockouts.value)
        or (knockouts.operator = '<=' and known_values.metric_value <= knockouts.value)
        or (knockouts.operator = '<' and known_values.metric_value < knockouts.value)
        or (knockouts.operator = '=' and known_values.metric_value = knockouts.value)
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        worst_band_rank,
        reason
    from hits
    where severity_rank = 1
)

select * from final
