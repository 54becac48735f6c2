{% set payload_columns = [
    'account_id', 'health_score', 'band', 'band_reason', 'band_note', 'lifecycle_stage',
    'health_score_change_28_days', 'top_positive_driver', 'top_negative_driver',
    'expansion_score', 'renewal_date', 'scoring_version'
] %}

with

account_360 as (select * from {{ ref('bi_health__account_360') }}),

account_scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where as_of_date <= {{ customer_health.as_of_date() }}
),

with_previous as (
    select
        account_id,
        as_of_date,
        health_score,
        band,
        band_reason,
        lifecycle_stage,
        lag(as_of_date) over (partition by account_id order by as_of_date) as previous_date,
        lag(health_score) over (partition by account_id order by as_of_date)
            as previous_health_score,
        lag(band) over (partition by account_id order by as_of_date) as previous_band,
        lag(band_reason) over (partition by account_id order by as_of_date)
            as previous_band_reason,
        lag(lifecycle_stage) over (partition by account_id order by as_of_date)
            as previous_lifecycle_stage
    from account_scores
),

last_changes as (
    select
        account_id,
        max(as_of_date) as payload_changed_on
    from with_previous
    where
        previous_date is null
        or {{ customer_health.is_distinct('health_score', 'previous_health_score') }}
        or {{ customer_health.is_distinct('band', 'previous_band') }}
        or {{ customer_health.is_distinct('band_reason', 'previous_band_reason') }}
        or {{ customer_health.is_distinct('lifecycle_stage', 'previous_lifecycle_stage') }}
    group by 1
),

final as (
    select
        account_360.account_id as sync_key,
        account_360.account_id,
        account_360.as_of_date,
        account_360.scoring_version,
        account_360.lifecycle_stage,
        account_360.health_score,
        account_360.band,
        account_360.band_label,
        account_360.band_reason,
        account_360.band_note,
        account_360.health_score_change_28_days,
        account_360.top_positive_driver,
        account_360.top_negative_driver,
        account_360.expansion_score,
        account_360.renewal_date,
        last_changes.payload_changed_on,
        {{ dbt.hash(
            customer_health.payload_text('account_360', payload_columns)
        ) }} as payload_hash
    from account_360
    inner join last_changes
        on account_360.account_id = last_changes.account_id
    where not account_360.is_frozen
)

select * from final
