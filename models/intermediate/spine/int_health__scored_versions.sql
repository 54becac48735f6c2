with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

scoring_versions as (select * from {{ ref('scoring_versions') }}),

dated_versions as (
    select
        build_dates.as_of_date,
        scoring_versions.scoring_version,
        scoring_versions.churn_model_version,
        scoring_versions.status = 'challenger' as is_challenger,
        row_number() over (
            partition by build_dates.as_of_date, scoring_versions.status = 'challenger'
            order by scoring_versions.valid_from desc, scoring_versions.scoring_version asc
        ) as recency_rank
    from build_dates
    inner join scoring_versions
        on
            scoring_versions.status = 'challenger'
            or build_dates.as_of_date >= scoring_versions.valid_from
),

-- the champion of today, scored for every date, also before it was in force
in_force_now as (
    select scoring_version
    from scoring_versions
    where
        status <> 'challenger'
        and valid_from <= {{ customer_health.as_of_date() }}
    order by valid_from desc, scoring_version asc
    limit 1
),

candidates as (
    select
        as_of_date,
        scoring_version,
        churn_model_version,
        not is_challenger and recency_rank = 1 as is_in_force
    from dated_versions
    where is_challenger or recency_rank = 1

    union all

    select
        build_dates.as_of_date,
        scoring_versions.scoring_version,
        scoring_versions.churn_model_version,
        false as is_in_force
    from build_dates
    cross join in_force_now
    inner join scoring_versions
        on in_force_now.scoring_version = scoring_versions.scoring_version
),

final as (
    select
        candidates.as_of_date,
        candidates.scoring_version,
        candidates.churn_model_version,
        {{ dbt.bool_or('candidates.is_in_force') }} as is_in_force,
        {{ dbt.bool_or('candidates.scoring_version = in_force_now.scoring_version') }}
            as is_champion
    from candidates
    cross join in_force_now
    group by
        candidates.as_of_date,
        candidates.scoring_version,
        candidates.churn_model_version
)

select * from final
