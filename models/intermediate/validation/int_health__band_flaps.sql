-- Changes of band and, of each, whether it took back the one before within 28 days. Days without a
-- band are no band between two others.
{% set flap_days = 28 %}

with

-- the first day of each stay in a band
stays as (
    select *
    from {{ ref('int_health__score_history') }}
    where band_since_date = as_of_date and band_rank is not null
),

with_previous as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        as_of_date,
        band,
        lag(band) over (
            partition by account_id, scoring_version, scorecard_key
            order by as_of_date
        ) as previous_band
    from stays
),

changes as (
    select
        *,
        lag(as_of_date) over (
            partition by account_id, scoring_version, scorecard_key
            order by as_of_date
        ) as previous_date,
        lag(previous_band) over (
            partition by account_id, scoring_version, scorecard_key
            order by as_of_date
        ) as band_before_previous
    from with_previous
    where previous_band is null or band <> previous_band
),

final as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        as_of_date,
        previous_band,
        band,
        coalesce(
            band = band_before_previous
            and {{ customer_health.days_between('previous_date', 'as_of_date') }}
            <= {{ flap_days }},
            false
        ) as is_flap
    from changes
    where previous_band is not null
)

select * from final
