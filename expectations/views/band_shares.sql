-- One row per band at as_of_date: its share of the accounts with a score. The share is 0 while too
-- few accounts have one, because then one band is likely to hold nearly all of them.
with

bands as (
    select
        scores.band,
        count(*) as account_count
    from fct_health__account_scores as scores
    inner join gate_run
        on scores.as_of_date = gate_run.as_of_date
    where scores.health_score is not null
    group by scores.band
),

final as (
    select
        bands.band as row_key,
        bands.band,
        bands.account_count,
        case
            when sum(bands.account_count) over () < gate_run.least_accounts_for_shares then 0
            else cast(bands.account_count as double precision) / sum(bands.account_count) over ()
        end as band_share
    from bands
    cross join gate_run
)

select * from final
