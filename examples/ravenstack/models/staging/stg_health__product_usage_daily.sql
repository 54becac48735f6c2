-- Usage belongs to the account of its subscription. What lies before the account signed up is left
-- out; what lies before that one subscription began stays, since accounts have several.
with

usage_rows as (select * from {{ source('ravenstack', 'feature_usage') }}),

subscription_rows as (select * from {{ source('ravenstack', 'subscriptions') }}),

account_rows as (select * from {{ source('ravenstack', 'accounts') }}),

account_usage as (
    select
        subscription_rows.account_id,
        usage_rows.usage_date,
        usage_rows.feature_name,
        usage_rows.usage_count,
        usage_rows.usage_duration_secs
    from usage_rows
    inner join subscription_rows
        on usage_rows.subscription_id = subscription_rows.subscription_id
    inner join account_rows
        on subscription_rows.account_id = account_rows.account_id
    {% if not var('ravenstack_keep_early_rows', false) %}
    where usage_rows.usage_date >= account_rows.signup_date
    {% endif %}
),

days as (
    select
        account_id,
        usage_date,
        feature_name,
        sum(usage_count) as event_count,
        sum(usage_duration_secs) as duration_seconds
    from account_usage
    group by 1, 2, 3
),

final as (
    select
        account_id,
        usage_date,
        feature_name as event_name,
        cast(event_count as bigint) as event_count,
        cast(null as bigint) as active_users,
        cast(duration_seconds as double) as duration_seconds,
        cast(null as timestamp) as loaded_at,
        case
            when account_id is null then 'null_key'
            when usage_date is null or feature_name is null or event_count is null
                then 'missing_value'
        end as rejection_reason
    from days
)

select * from final
