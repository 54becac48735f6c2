-- Whether scores and bands stand still where accounts do.
{% set bins = 10 %}
{% set trailing_days = 365 %}

with

monthly_scores as (
    select *
    from {{ ref('int_health__monthly_scores') }}
    where health_score_exact is not null
),

score_history as (select * from {{ ref('int_health__score_history') }}),

band_flaps as (
    select *
    from {{ ref('int_health__band_flaps') }}
    where is_flap
),

rank_correlations as (select * from {{ ref('int_health__rank_correlations') }}),

limits as (select * from {{ ref('int_health__validation_limits') }}),

-- population stability index ----------------------------------------------------------------------

bin_counts as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        -- 100 belongs to the last bin
        least(floor(health_score_exact / {{ 100 // bins }}), {{ bins - 1 }}) as bin,
        count(*) as bin_count
    from monthly_scores
    group by 1, 2, 3, 4
),

month_counts as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        sum(bin_count) as account_count
    from bin_counts
    group by 1, 2, 3
),

months as (
    select
        *,
        lag(as_of_date) over (partition by scoring_version, scorecard_key order by as_of_date)
            as earlier_date,
        lag(account_count) over (partition by scoring_version, scorecard_key order by as_of_date)
            as earlier_account_count
    from month_counts
),

-- the counts of both months in every bin that one of them has
both_months as (
    select
        months.scoring_version,
        months.scorecard_key,
        months.as_of_date,
        months.account_count,
        months.earlier_account_count,
        bin_counts.bin,
        sum(case
            when bin_counts.as_of_date = months.as_of_date then bin_counts.bin_count else 0
        end) as bin_count,
        sum(case
            when bin_counts.as_of_date = months.earlier_date then bin_counts.bin_count else 0
        end) as earlier_bin_count
    from months
    inner join bin_counts
        on
            months.scoring_version = bin_counts.scoring_version
            and months.scorecard_key = bin_counts.scorecard_key
            and (
                months.as_of_date = bin_counts.as_of_date
                or months.earlier_date = bin_counts.as_of_date
            )
    where months.earlier_date is not null
    group by 1, 2, 3, 4, 5, 6
),

-- an empty bin counts as half an account: the logarithm of nothing has no value
bin_shares as (
    select
        *,
        {{ customer_health.safe_divide('greatest(bin_count, 0.5)', 'account_count') }} as share,
        {{ customer_health.safe_divide(
            'greatest(earlier_bin_count, 0.5)', 'earlier_account_count'
        ) }} as earlier_share
    from both_months
),

indexes as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        count(*) as bin_count,
        {{ customer_health.round_score(
            customer_health.exact_sum('(share - earlier_share) * ln(share / earlier_share)')
        ) }} as psi
    from bin_shares
    group by 1, 2, 3
),

-- flaps -------------------------------------------------------------------------------------------

dates as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        count(band_rank) as account_count
    from score_history
    group by 1, 2, 3
),

-- accounts stay in their bands from one date to the next
account_days as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        account_count * coalesce({{ customer_health.days_between(
            'lag(as_of_date) over ('
            ~ 'partition by scoring_version, scorecard_key order by as_of_date)',
            'as_of_date'
        ) }}, 0) as day_count
    from dates
),

flap_counts as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        count(*) as flap_count
    from band_flaps
    group by 1, 2, 3
),

daily_flaps as (
    select
        account_days.scoring_version,
        account_days.scorecard_key,
        account_days.as_of_date,
        account_days.day_count,
        coalesce(flap_counts.flap_count, 0) as flap_count
    from account_days
    left join flap_counts
        on
            account_days.scoring_version = flap_counts.scoring_version
            and account_days.scorecard_key = flap_counts.scorecard_key
            and account_days.as_of_date = flap_counts.as_of_date
),

trailing_flaps as (
    select
        months.scoring_version,
        months.scorecard_key,
        months.as_of_date,
        sum(daily_flaps.flap_count) as flap_count,
        {{ customer_health.safe_divide('sum(daily_flaps.day_count)', '365') }} as account_years
    from months
    inner join daily_flaps
        on
            months.scoring_version = daily_flaps.scoring_version
            and months.scorecard_key = daily_flaps.scorecard_key
            and months.as_of_date >= daily_flaps.as_of_date
            and {{ customer_health.add_days('months.as_of_date', -1 * trailing_days) }}
            < daily_flaps.as_of_date
    group by 1, 2, 3
),

figures as (
    select
        months.*,
        indexes.psi,
        case
            when
                least(months.account_count, months.earlier_account_count)
                < limits.psi_limit_accounts
                then {{ customer_health.chi_square_95('indexes.bin_count - 1') | indent(20) }}
                * (
                    {{ customer_health.safe_divide('1', 'months.account_count') }}
                    + {{ customer_health.safe_divide('1', 'months.earlier_account_count') }}
                )
            when months.earlier_date is not null then limits.most_psi
        end as psi_critical,
        rank_correlations.rank_correlation,
        trailing_flaps.flap_count,
        trailing_flaps.account_years
    from months
    cross join limits
    left join indexes
        on
            months.scoring_version = indexes.scoring_version
            and months.scorecard_key = indexes.scorecard_key
            and months.as_of_date = indexes.as_of_date
    left join rank_correlations
        on
            months.scoring_version = rank_correlations.scoring_version
            and months.scorecard_key = rank_correlations.scorecard_key
            and months.as_of_date = rank_correlations.as_of_date
    left join trailing_flaps
        on
            months.scoring_version = trailing_flaps.scoring_version
            and months.scorecard_key = trailing_flaps.scorecard_key
            and months.as_of_date = trailing_flaps.as_of_date
),

final as (
    select
        scoring_version,
        scorecard_key,
        as_of_date,
        cast(account_count as bigint) as account_count,
        psi,
        {{ customer_health.round_score('psi_critical') }} as psi_critical,
        case when psi is not null then coalesce(psi > psi_critical, false) end as is_shifted,
        rank_correlation as rank_correlation_7_days,
        cast(coalesce(flap_count, 0) as bigint) as flap_count,
        {{ customer_health.round_score('account_years') }} as account_years,
        {{ customer_health.round_score(
            customer_health.safe_divide('coalesce(flap_count, 0)', 'account_years')
        ) }} as flaps_per_account_year
    from figures
)

select * from final
