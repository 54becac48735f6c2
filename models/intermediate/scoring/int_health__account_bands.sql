{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    tags=['customer_health_history']
) }}

with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

account_scores as (
    select *
    from {{ ref('int_health__account_scores') }}
    where as_of_date >= (select min(build_dates.as_of_date) from build_dates)
),

band_triggers as (select * from {{ ref('int_health__band_triggers') }}),

scorecard_bands as (select * from {{ ref('int_health__scorecard_bands') }}),

knockouts as (select * from {{ ref('int_health__account_knockouts') }}),

overrides as (select * from {{ ref('int_health__account_overrides') }}),

{% if is_incremental() %}

-- the state that the dates before this run left behind
last_earlier_dates as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        max(as_of_date) as as_of_date
    from {{ this }}
    where as_of_date < (select min(build_dates.as_of_date) from build_dates)
    group by 1, 2, 3
),

earlier_states as (
    select
        earlier_bands.account_id,
        earlier_bands.scoring_version,
        earlier_bands.scorecard_key,
        earlier_bands.day_number,
        earlier_bands.edges_decided_above,
        earlier_bands.edges_decided_below,
        earlier_bands.band,
        earlier_bands.band_since_date
    from {{ this }} as earlier_bands
    inner join last_earlier_dates
        on
            earlier_bands.account_id = last_earlier_dates.account_id
            and earlier_bands.scoring_version = last_earlier_dates.scoring_version
            and earlier_bands.scorecard_key = last_earlier_dates.scorecard_key
            and earlier_bands.as_of_date = last_earlier_dates.as_of_date
),

{% else %}

earlier_states as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        day_number,
        cast(0 as bigint) as edges_decided_above,
        cast(0 as bigint) as edges_decided_below,
        cast(null as {{ dbt.type_string() }}) as band,
        cast(null as date) as band_since_date
    from account_scores
    where 1 = 0
),

{% endif %}

band_counts as (
    select
        scoring_version,
        scorecard_key,
        max(band_rank) as band_count
    from scorecard_bands
    group by 1, 2
),

-- the edges decided above are the lowest ones, those decided below the highest: a clear step over
-- an edge is one over every edge before it, so that two counts are the whole state
earlier_decisions as (
    select
        earlier_states.account_id,
        earlier_states.scoring_version,
        earlier_states.scorecard_key,
        earlier_states.day_number,
        scorecard_bands.band_rank,
        case
            when scorecard_bands.band_rank - 1 <= earlier_states.edges_decided_above then 1
            when
                scorecard_bands.band_rank
                > band_counts.band_count - earlier_states.edges_decided_below
                then 0
        end as decision
    from earlier_states
    inner join band_counts
        on
            earlier_states.scoring_version = band_counts.scoring_version
            and earlier_states.scorecard_key = band_counts.scorecard_key
    inner join scorecard_bands
        on
            earlier_states.scoring_version = scorecard_bands.scoring_version
            and earlier_states.scorecard_key = scorecard_bands.scorecard_key
            and scorecard_bands.band_rank > 1
),

decisions as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        day_number,
        band_rank,
        decision,
        cast(null as boolean) as is_score_above,
        false as is_built
    from earlier_decisions

    union all

    select
        account_id,
        scoring_version,
        scorecard_key,
        day_number,
        band_rank,
        decision,
        is_score_above,
        true as is_built
    from band_triggers
),

-- carried forward by counting the decided rows: each starts a stretch in which it holds
stretches as (
    select
        *,
        count(decision) over (
            partition by account_id, scoring_version, scorecard_key, band_rank
            order by day_number
            rows between unbounded preceding and current row
        ) as stretch_number
    from decisions
),

held_decisions as (
    select
        *,
        max(decision) over (
            partition by account_id, scoring_version, scorecard_key, band_rank, stretch_number
        ) as held_decision
    from stretches
),

held as (
    select
        account_id,
        scoring_version,
        scorecard_key,
        day_number,
        1 + sum(case
            when held_decision is not null then held_decision
            when is_score_above then 1
            else 0
        end) as held_rank,
        sum(case when held_decision = 1 then 1 else 0 end) as edges_decided_above,
        sum(case when held_decision = 0 then 1 else 0 end) as edges_decided_below
    from held_decisions
    where is_built
    group by 1, 2, 3, 4
),

raw_ranks as (
    select
        account_scores.account_id,
        account_scores.as_of_date,
        account_scores.scoring_version,
        account_scores.scorecard_key,
        max(scorecard_bands.band_rank) as raw_rank
    from account_scores
    inner join scorecard_bands
        on
            account_scores.scoring_version = scorecard_bands.scoring_version
            and account_scores.scorecard_key = scorecard_bands.scorecard_key
            and account_scores.health_score >= scorecard_bands.lower_bound
    group by 1, 2, 3, 4
),

with_exceptions as (
    select
        account_scores.account_id,
        account_scores.as_of_date,
        account_scores.day_number,
        account_scores.scoring_version,
        account_scores.scorecard_key,
        account_scores.health_score,
        raw_ranks.raw_rank,
        held.held_rank,
        held.edges_decided_above,
        held.edges_decided_below,
        knockouts.worst_band_rank,
        knockouts.reason as knockout_reason,
        overrides.band_rank as override_rank,
        overrides.reason as override_reason,
        overrides.author_id as override_author_id,
        overrides.expires_on as override_expires_on,
        -- without a score there is no band but the one of an exception
        case when account_scores.health_score is not null then held.held_rank end as computed_rank
    from account_scores
    left join raw_ranks
        on
            account_scores.account_id = raw_ranks.account_id
            and account_scores.as_of_date = raw_ranks.as_of_date
            and account_scores.scoring_version = raw_ranks.scoring_version
            and account_scores.scorecard_key = raw_ranks.scorecard_key
    left join held
        on
            account_scores.account_id = held.account_id
            and account_scores.day_number = held.day_number
            and account_scores.scoring_version = held.scoring_version
            and account_scores.scorecard_key = held.scorecard_key
    left join knockouts
        on
            account_scores.account_id = knockouts.account_id
            and account_scores.as_of_date = knockouts.as_of_date
            and account_scores.scoring_version = knockouts.scoring_version
            and account_scores.scorecard_key = knockouts.scorecard_key
    left join overrides
        on
            account_scores.account_id = overrides.account_id
            and account_scores.as_of_date = overrides.as_of_date
            and account_scores.scoring_version = overrides.scoring_version
            and account_scores.scorecard_key = overrides.scorecard_key
),

with_reason as (
    select
        *,
        case
            when override_rank is not null then override_rank
            when worst_band_rank < coalesce(computed_rank, worst_band_rank + 1)
                then worst_band_rank
            else computed_rank
        end as final_rank,
        case
            when override_rank is not null then 'override'
            when worst_band_rank < coalesce(computed_rank, worst_band_rank + 1) then 'knockout'
            when computed_rank is null then 'insufficient_data'
            when computed_rank <> raw_rank then 'held'
            else 'score'
        end as band_reason
    from with_exceptions
),

with_band as (
    select
        with_reason.account_id,
        with_reason.as_of_date,
        with_reason.day_number,
        with_reason.scoring_version,
        with_reason.scorecard_key,
        raw_bands.band_key as raw_band,
        with_reason.held_rank,
        with_reason.edges_decided_above,
        with_reason.edges_decided_below,
        with_reason.final_rank as band_rank,
        coalesce(final_bands.band_key, 'insufficient_data') as band,
        with_reason.band_reason,
        case
            when with_reason.band_reason = 'override'
                then with_reason.override_reason
                || ' (' || with_reason.override_author_id || ', until '
                || cast(with_reason.override_expires_on as {{ dbt.type_string() }}) || ')'
            when with_reason.band_reason = 'knockout' then with_reason.knockout_reason
        end as band_note
    from with_reason
    left join scorecard_bands as raw_bands
        on
            with_reason.scoring_version = raw_bands.scoring_version
            and with_reason.scorecard_key = raw_bands.scorecard_key
            and with_reason.raw_rank = raw_bands.band_rank
    left join scorecard_bands as final_bands
        on
            with_reason.scoring_version = final_bands.scoring_version
            and with_reason.scorecard_key = final_bands.scorecard_key
            and with_reason.final_rank = final_bands.band_rank
),

with_previous_band as (
    select
        with_band.*,
        earlier_states.band_since_date as earlier_since_date,
        coalesce(
            lag(with_band.band) over (
                partition by
                    with_band.account_id, with_band.scoring_version, with_band.scorecard_key
                order by with_band.day_number
            ),
            earlier_states.band
        ) as previous_band
    from with_band
    left join earlier_states
        on
            with_band.account_id = earlier_states.account_id
            and with_band.scoring_version = earlier_states.scoring_version
            and with_band.scorecard_key = earlier_states.scorecard_key
),

with_since as (
    select
        *,
        coalesce(
            max(
                case
                    when {{ customer_health.is_distinct('band', 'previous_band') }} then as_of_date
                end
            ) over (
                partition by account_id, scoring_version, scorecard_key
                order by day_number
                rows between unbounded preceding and current row
            ),
            earlier_since_date
        ) as band_since_date
    from with_previous_band
),

final as (
    select
        account_id,
        as_of_date,
        day_number,
        scoring_version,
        scorecard_key,
        raw_band,
        cast(held_rank as bigint) as held_rank,
        cast(edges_decided_above as bigint) as edges_decided_above,
        cast(edges_decided_below as bigint) as edges_decided_below,
        cast(band_rank as bigint) as band_rank,
        band,
        band_reason,
        band_note,
        band_since_date,
        {{ customer_health.days_between('band_since_date', 'as_of_date') }} as days_in_band
    from with_since
)

select * from final
