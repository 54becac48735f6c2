-- Where each account would be under the challenger: what a promotion would move on the newest date.
with

account_scores as (select * from {{ ref('fct_health__account_scores') }}),

scorecard_scores as (
    select *
    from {{ ref('fct_health__scorecard_scores') }}
    where purpose = 'health'
),

scoring_versions as (select * from {{ ref('scoring_versions') }}),

newest as (select max(as_of_date) as as_of_date from account_scores),

champion_rows as (
    select account_scores.*
    from account_scores
    inner join newest
        on account_scores.as_of_date = newest.as_of_date
),

challenger_rows as (
    select scorecard_scores.*
    from scorecard_scores
    inner join scoring_versions
        on
            scorecard_scores.scoring_version = scoring_versions.scoring_version
            and scoring_versions.status = 'challenger'
),

final as (
    select
        champion_rows.scoring_version as champion_version,
        challenger_rows.scoring_version as challenger_version,
        champion_rows.as_of_date,
        champion_rows.band as champion_band,
        champion_rows.band_rank as champion_band_rank,
        challenger_rows.band as challenger_band,
        challenger_rows.band_rank as challenger_band_rank,
        cast(count(*) as bigint) as account_count,
        cast(
            coalesce({{ customer_health.exact_sum('champion_rows.arr_amount') }}, 0)
            as {{ customer_health.type_double() }}
        ) as arr_amount
    from champion_rows
    inner join challenger_rows
        on
            champion_rows.account_id = challenger_rows.account_id
            and champion_rows.as_of_date = challenger_rows.as_of_date
    group by 1, 2, 3, 4, 5, 6, 7
)

select * from final
