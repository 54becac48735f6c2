-- The last good values of the accounts and metrics that a data incident concerns.
with

data_incidents as (select * from {{ ref('int_health__data_incidents') }}),

reported_scores as (select * from {{ ref('int_health__reported_scores') }}),

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

-- a metric has the same value in each scorecard of an account
final as (
    select
        reported_scores.account_id,
        data_incidents.as_of_date,
        data_incidents.scoring_version,
        data_incidents.metric_key,
        max(reported_scores.metric_value) as metric_value,
        max(reported_scores.value_state) as value_state,
        max(reported_scores.observed_at) as observed_at,
        max(reported_scores.sample_size) as sample_size
    from data_incidents
    inner join accounts
        on data_incidents.segment = coalesce(accounts.segment, '')
    inner join reported_scores
        on
            accounts.account_id = reported_scores.account_id
            and data_incidents.last_good_date = reported_scores.as_of_date
            and data_incidents.scoring_version = reported_scores.scoring_version
            and data_incidents.metric_key = reported_scores.metric_key
    group by 1, 2, 3, 4
)

select * from final
