-- One row per score at as_of_date or on the date published before: the share of accounts at or
-- below it on both dates, and how far these are apart (the largest is the distance of Kolmogorov and
-- Smirnov). Only versions that scored both dates, and only enough accounts for a share.
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

scores as (
    select
        account_scores.scoring_version,
        account_scores.health_score,
        case when account_scores.as_of_date = dates.now_date then 1 else 0 end as is_now,
        case when account_scores.as_of_date = dates.then_date then 1 else 0 end as is_then
    from fct_health__account_scores as account_scores
    inner join dates
        on
            account_scores.as_of_date = dates.now_date
            or account_scores.as_of_date = dates.then_date
    where account_scores.health_score is not null
),

counts as (
    select
        scoring_version,
        health_score,
        sum(is_now) as now_count,
        sum(is_then) as then_count
    from scores
    group by
        scoring_version,
        health_score
),

shares as (
    select
        counts.scoring_version,
        counts.health_score,
        sum(counts.now_count) over (partition by counts.scoring_version) as now_total,
        sum(counts.then_count) over (partition by counts.scoring_version) as then_total,
        sum(counts.now_count) over (
            partition by counts.scoring_version
            order by counts.health_score
        ) as now_below,
        sum(counts.then_count) over (
            partition by counts.scoring_version
            order by counts.health_score
        ) as then_below
    from counts
),

compared as (
    select
        shares.scoring_version,
        shares.health_score,
        cast(shares.now_below as double precision) / shares.now_total as now_share,
        cast(shares.then_below as double precision) / shares.then_total as then_share
    from shares
    cross join gate_run
    where
        shares.now_total >= gate_run.least_accounts_for_shares
        and shares.then_total >= gate_run.least_accounts_for_shares
),

final as (
    select
        compared.scoring_version || ' up to ' || cast(
            cast(compared.health_score as integer) as varchar
        ) as row_key,
        abs(compared.now_share - compared.then_share) as shift_share,
        cast(cast(round(100 * compared.now_share) as integer) as varchar)
        || '% of accounts are at '
        || cast(cast(compared.health_score as integer) as varchar)
        || ' or below, '
        || cast(cast(round(100 * compared.then_share) as integer) as varchar)
        || '% on '
        || cast(dates.then_date as varchar) as finding
    from compared
    cross join dates
)

select * from final
