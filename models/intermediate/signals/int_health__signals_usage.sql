{% set smoothing = customer_health.integer_var('usage_smoothing', minimum=1) %}

with

usage_windows as (select * from {{ ref('int_health__usage_windows') }}),

event_metric_windows as (select * from {{ ref('int_health__event_metric_windows') }}),

expected_usage as (select * from {{ ref('int_health__expected_usage') }}),

incident_days as (select * from {{ ref('int_health__usage_incident_days') }}),

source_coverage as (select * from {{ ref('int_health__source_coverage') }}),

product_features as (select * from {{ ref('int_health__valid_product_features') }}),

event_metric_events as (select * from {{ ref('event_metric_events') }}),

metric_dates as (select * from {{ ref('int_health__metric_dates') }}),

spine as (select * from {{ ref('int_health__spine') }}),

usage_coverage as (
    select
        as_of_date,
        {{ customer_health.days_between('available_from', 'as_of_date') }} as covered_days
    from source_coverage
    where source_key = 'product_usage'
),

definitions as (
    select distinct
        scoring_version,
        metric_key,
        aggregation,
        basis,
        window_days
    from event_metric_windows
),

account_windows as (
    select
        usage_windows.account_id,
        usage_windows.as_of_date,
        usage_windows.scoring_version,
        usage_windows.metric_key,
        usage_windows.measure,
        usage_windows.window_index,
        usage_windows.window_value,
        usage_windows.last_used_on,
        definitions.aggregation,
        definitions.basis,
        definitions.window_days,
        spine.segment,
        spine.plan,
        spine.seats,
        spine.tenure_days,
        usage_coverage.covered_days,
        -- at least one day, so that there is always something to scale
        greatest(
            definitions.window_days - coalesce(incident_days.incident_day_count, 0), 1
        ) as measured_days
    from usage_windows
    inner join definitions
        on
            usage_windows.scoring_version = definitions.scoring_version
            and usage_windows.metric_key = definitions.metric_key
    inner join spine
        on
            usage_windows.account_id = spine.account_id
            and usage_windows.as_of_date = spine.as_of_date
    inner join usage_coverage
        on usage_windows.as_of_date = usage_coverage.as_of_date
    left join incident_days
        on
            usage_windows.as_of_date = incident_days.as_of_date
            and usage_windows.scoring_version = incident_days.scoring_version
            and usage_windows.metric_key = incident_days.metric_key
            and usage_windows.window_index = incident_days.window_index
            and coalesce(spine.segment, '') = incident_days.segment
),

plans as (
    select distinct plan
    from spine
),

-- a feature without a plan belongs to all of them
plan_features as (
    select
        event_metric_events.scoring_version,
        event_metric_events.metric_key,
        plans.plan,
        count(distinct product_features.feature_key) as feature_count
    from event_metric_events
    inner join product_features
        on
            event_metric_events.event_name = product_features.event_name
            or event_metric_events.event_name = '*'
    inner join plans
        on coalesce(product_features.plan = plans.plan, product_features.plan is null)
    group by 1, 2, 3
),

current_windows as (
    select
        account_windows.account_id,
        account_windows.as_of_date,
        account_windows.scoring_version,
        account_windows.metric_key,
        account_windows.aggregation,
        account_windows.basis,
        account_windows.window_days,
        account_windows.window_value,
        account_windows.last_used_on,
        account_windows.seats,
        plan_features.feature_count,
        -- days of a data incident count as not measured, once account and source cover the window
        case
            when
                least(account_windows.tenure_days, account_windows.covered_days)
                >= account_windows.window_days
                then account_windows.measured_days
            else least(account_windows.tenure_days, account_windows.covered_days)
        end as exposure_days
    from account_windows
    left join plan_features
        on
            account_windows.scoring_version = plan_features.scoring_version
            and account_windows.metric_key = plan_features.metric_key
            and coalesce(account_windows.plan, '') = coalesce(plan_features.plan, '')
    where
        account_windows.measure = 'value'
        and account_windows.window_index = 0
        and account_windows.basis in ('account', 'per_seat', 'per_plan_feature')
),

user_measures as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        max(case when measure = 'user_days' then window_value end) as user_day_count,
        max(case when measure = 'unattributed_days' then window_value end)
            as unattributed_day_count
    from account_windows
    where
        measure in ('user_days', 'unattributed_days')
        and window_index = 0
    group by 1, 2, 3, 4
),

-- sums and days are scaled to the whole window where the account or the source is younger than it,
-- or where days of it were data incidents
scaled_windows as (
    select
        current_windows.account_id,
        current_windows.as_of_date,
        current_windows.scoring_version,
        current_windows.metric_key,
        current_windows.basis,
        current_windows.seats,
        current_windows.feature_count,
        current_windows.last_used_on,
        current_windows.window_value as raw_value,
        case
            when current_windows.aggregation in ('events', 'active_days', 'duration_hours')
                then current_windows.window_value * {{ customer_health.safe_divide(
                    'current_windows.window_days', 'current_windows.exposure_days'
                ) }}
            else current_windows.window_value
        end as scaled_value,
        coalesce(
            current_windows.window_value = 0 and user_measures.unattributed_day_count > 0, false
        ) as has_unattributed_usage_only
    from current_windows
    left join user_measures
        on
            current_windows.account_id = user_measures.account_id
            and current_windows.as_of_date = user_measures.as_of_date
            and current_windows.scoring_version = user_measures.scoring_version
            and current_windows.metric_key = user_measures.metric_key
),

counts as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        case
            when basis = 'per_seat' then {{ customer_health.safe_divide('scaled_value', 'seats') }}
            when basis = 'per_plan_feature'
                then {{ customer_health.safe_divide('scaled_value', 'feature_count') }}
            else scaled_value
        end as metric_value,
        last_used_on as measured_on,
        raw_value as sample_size,
        case
            when basis = 'per_seat' and coalesce(seats, 0) = 0 then 'not_applicable'
            when basis = 'per_plan_feature' and coalesce(feature_count, 0) = 0
                then 'not_applicable'
            when has_unattributed_usage_only then 'unknown'
            when raw_value > 0 then 'observed'
        end as value_state
    from scaled_windows
),

-- what the calendar led us to expect is taken out before windows are compared
comparable_windows as (
    select
        account_windows.account_id,
        account_windows.as_of_date,
        account_windows.scoring_version,
        account_windows.metric_key,
        account_windows.basis,
        account_windows.window_days,
        account_windows.window_index,
        account_windows.tenure_days,
        account_windows.covered_days,
        account_windows.window_value as raw_value,
        {{ customer_health.safe_divide(
            'account_windows.window_value * account_windows.window_days',
            'expected_usage.expected_usage_ratio * account_windows.measured_days'
        ) }} as comparable_value
    from account_windows
    inner join expected_usage
        on
            account_windows.scoring_version = expected_usage.scoring_version
            and account_windows.window_days = expected_usage.window_days
            and account_windows.window_index = expected_usage.window_index
            and account_windows.as_of_date = expected_usage.as_of_date
            and coalesce(account_windows.segment, '') = expected_usage.segment
    where
        account_windows.measure = 'value'
        and account_windows.basis in ('previous_window', 'own_baseline')
),

-- an earlier window counts when account and source were there for all of it
earlier_windows as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        comparable_value,
        row_number() over (
            partition by account_id, as_of_date, scoring_version, metric_key
            order by comparable_value, window_index
        ) as value_rank,
        count(*) over (
            partition by account_id, as_of_date, scoring_version, metric_key
        ) as window_count
    from comparable_windows
    where
        window_index > 0
        and least(tenure_days, covered_days) >= window_days * (window_index + 1)
),

medians as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        max(window_count) as window_count,
        avg(comparable_value) as median_value
    from earlier_windows
    where 2 * value_rank between window_count and window_count + 2
    group by 1, 2, 3, 4
),

comparisons as (
    select
        comparable_windows.account_id,
        comparable_windows.as_of_date,
        comparable_windows.scoring_version,
        comparable_windows.metric_key,
        -- measured today, also where nobody has used the product for weeks
        comparable_windows.as_of_date as measured_on,
        comparable_windows.raw_value,
        ln(
            (comparable_windows.comparable_value + {{ smoothing }})
            / (medians.median_value + {{ smoothing }})
        ) as log_ratio,
        coalesce(medians.window_count, 0) as window_count,
        case
            when comparable_windows.basis = 'previous_window' then 1
            else {{ customer_health.integer_var('baseline_min_windows', minimum=1) }}
        end as needed_window_count,
        {{ customer_health.safe_divide(
            'comparable_windows.tenure_days', 'comparable_windows.window_days'
        ) }} as tenure_windows
    from comparable_windows
    left join medians
        on
            comparable_windows.account_id = medians.account_id
            and comparable_windows.as_of_date = medians.as_of_date
            and comparable_windows.scoring_version = medians.scoring_version
            and comparable_windows.metric_key = medians.metric_key
    where comparable_windows.window_index = 0
),

compared as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        case when window_count >= needed_window_count then log_ratio end as metric_value,
        measured_on,
        raw_value as sample_size,
        case
            when window_count >= needed_window_count then 'observed'
            when tenure_windows < needed_window_count + 1 then 'not_yet_due'
            else 'unknown'
        end as value_state
    from comparisons
),

-- DAU/MAU: the mean of daily active users over the users of the window
stickiness as (
    select
        current_windows.account_id,
        current_windows.as_of_date,
        current_windows.scoring_version,
        metric_dates.metric_key,
        {{ customer_health.safe_divide(
            'user_measures.user_day_count',
            'current_windows.window_value * current_windows.exposure_days'
        ) }} as metric_value,
        current_windows.last_used_on as measured_on,
        current_windows.window_value as sample_size,
        case
            when current_windows.window_value > 0 then 'observed'
            when user_measures.unattributed_day_count > 0 then 'unknown'
        end as value_state
    from current_windows
    inner join user_measures
        on
            current_windows.account_id = user_measures.account_id
            and current_windows.as_of_date = user_measures.as_of_date
            and current_windows.scoring_version = user_measures.scoring_version
            and current_windows.metric_key = user_measures.metric_key
    inner join metric_dates
        on
            current_windows.as_of_date = metric_dates.as_of_date
            and current_windows.scoring_version = metric_dates.scoring_version
            and metric_dates.metric_key = 'stickiness'
    where current_windows.metric_key = 'active_users'
),

measured as (
    select * from counts
    union all
    select * from compared
    union all
    select * from stickiness
),

final as (
    select  -- noqa: ST06
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        case when value_state = 'observed' then metric_value end as metric_value,
        case when value_state = 'observed' then cast(measured_on as timestamp) end as observed_at,
        cast(round(sample_size) as bigint) as sample_size,
        value_state
    from measured
    where value_state is not null
)

select * from final
