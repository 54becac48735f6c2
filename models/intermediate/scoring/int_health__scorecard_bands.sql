with

scorecards as (select * from {{ ref('scorecards') }}),

bands as (select * from {{ ref('bands') }}),

-- bands of the scorecard itself beat those of `*`, as a whole set
final as (
    select
        scorecards.scoring_version,
        scorecards.scorecard_key,
        bands.band_key,
        bands.band_rank,
        bands.lower_bound,
        bands.traffic_light,
        bands.label as band_label
    from scorecards
    inner join bands
        on
            scorecards.scoring_version = bands.scoring_version
            and scorecards.scorecard_key = bands.scorecard_key

    union all

    select
        scorecards.scoring_version,
        scorecards.scorecard_key,
        bands.band_key,
        bands.band_rank,
        bands.lower_bound,
        bands.traffic_light,
        bands.label as band_label
    from scorecards
    inner join bands
        on
            scorecards.scoring_version = bands.scoring_version
            and bands.scorecard_key = '*'
    left join bands as own_bands
        on
            scorecards.scoring_version = own_bands.scoring_version
            and scorecards.scorecard_key = own_bands.scorecard_key
            and own_bands.band_rank = 1
    where own_bands.band_key is null
)

select * from final
