-- How much work the champion and each challenger would give to each CSM: accounts in the lower
-- bands now, and how often one fell into them in the last 28 days.
with

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

scorecard_scores as (
    select *
    from {{ ref('fct_health__scorecard_scores') }}
    where purpose = 'health'
),

scoring_versions as (select * from {{ ref('scoring_versions') }}),

newest as (select max(as_of_date) as as_of_date from account_scores),

newest_accounts as (
    select
        account_scores.account_id,
        account_scores.scoring_version,
        coalesce(account_scores.csm_id, '(none)') as csm_id
    from account_scores
    inner join newest
        on account_scores.as_of_date = newest.as_of_date
),

all_versions as (
    select scoring_version
    from newest_accounts

    union all

    select scoring_version
    from scoring_versions
    where status = 'challenger'
),

compared_versions as (
    select distinct scoring_version
    from all_versions
),

all_bands as (
    select
        account_id,
        as_of_date,
        scoring_version,
        band
    from account_scores

    union all

    select
        account_id,
        as_of_date,
        scoring_version,
        band
    from scorecard_scores
),

-- the day before the 28 days too, so that a fall on the first of them is seen
recent_bands as (
    select
        all_bands.account_id,
        all_bands.as_of_date,
        all_bands.scoring_version,
        all_bands.band,
        newest.as_of_date as newest_date,
        {{ customer_health.days_between('all_bands.as_of_date', 'newest.as_of_date') }}
            as age_days,
        lag(all_bands.band) over (
            partition by all_bands.account_id, all_bands.scoring_version
            order by all_bands.as_of_date
        ) as band_before
    from all_bands
    inner join compared_versions
        on all_bands.scoring_version = compared_versions.scoring_version
    cross join newest
    where all_bands.as_of_date >= {{ customer_health.add_days('newest.as_of_date', -28) }}
),

final as (
    select
        recent_bands.scoring_version,
        newest_accounts.csm_id,
        recent_bands.newest_date as as_of_date,
        cast(sum(case when recent_bands.age_days = 0 then 1 else 0 end) as bigint)
            as account_count,
        cast(sum(
            case when recent_bands.age_days = 0 and recent_bands.band = 'critical' then 1 else 0 end
        ) as bigint) as critical_count,
        cast(sum(
            case when recent_bands.age_days = 0 and recent_bands.band = 'at_risk' then 1 else 0 end
        ) as bigint) as at_risk_count,
        cast(sum(
            case
                when
                    recent_bands.band in ('critical', 'at_risk')
                    and recent_bands.band_before not in (
                        'critical', 'at_risk', 'insufficient_data'
                    )
                    then 1
                else 0
            end
        ) as bigint) as entered_below_healthy_28_days
    from recent_bands
    inner join newest_accounts
        on recent_bands.account_id = newest_accounts.account_id
    group by 1, 2, 3
)

select * from final
