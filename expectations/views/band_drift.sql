-- One row per band at as_of_date or on the date published before: its share of the accounts with a
-- score on both dates. Only versions that scored both dates, and only enough accounts for a share.
with

published_dates as (
    select max(publications.as_of_date) as as_of_date
    from fct_health__publications as publications
    cross join gate_run
    where publications.as_of_date < gate_run.as_of_date
),

dates as (
    select
        published_dates.as_of_date as then_date,
        gate_run.as_of_date as now_date
    from published_dates
    cross join gate_run
),

counts as (
    select
        account_scores.scoring_version,
        account_scores.band,
        sum(case when account_scores.as_of_date = dates.now_date then 1 else 0 end) as now_count,
        sum(case when account_scores.as_of_date = dates.then_date then 1 else 0 end) as then_count
    from fct_health__account_scores as account_scores
    inner join dates
        on
            account_scores.as_of_date = dates.now_date
            or account_scores.as_of_date = dates.then_date
    where account_scores.health_score is not null
    group by
        account_scores.scoring_version,
        account_scores.band
),

totals as (
    select
        counts.scoring_version,
        counts.band,
        counts.now_count,
        counts.then_count,
        sum(counts.now_count) over (partition by counts.scoring_version) as now_total,
        sum(counts.then_count) over (partition by counts.scoring_version) as then_total
    from counts
),

shares as (
    select
        totals.scoring_version,
        totals.band,
        cast(totals.now_count as double precision) / totals.now_total as now_share,
        cast(totals.then_count as double precision) / totals.then_total as then_share
    from totals
    cross join gate_run
    where
        totals.now_total >= gate_run.least_accounts_for_shares
        and totals.then_total >= gate_run.least_accounts_for_shares
),

final as (
    select
        shares.band as row_key,
        abs(shares.now_share - shares.then_share) as change_share,
        shares.band
        || ' '
        || cast(cast(round(100 * shares.now_share) as integer) as varchar)
        || '%, '
        || cast(cast(round(100 * shares.then_share) as integer) as varchar)
        || '% on '
        || cast(dates.then_date as varchar) as finding
    from shares
    cross join dates
)

select * from final
