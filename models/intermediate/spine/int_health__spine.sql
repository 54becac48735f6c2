with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

account_periods as (select * from {{ ref('int_health__account_periods') }}),

account_subscriptions as (select * from {{ ref('int_health__account_subscriptions') }}),

first_starts as (
    select
        account_id,
        min(starts_on) as first_started_on
    from account_periods
    group by 1
),

account_dates as (
    select
        account_periods.account_id,
        build_dates.as_of_date,
        build_dates.day_number,
        first_starts.first_started_on,
        account_periods.trial_ends_on >= build_dates.as_of_date
        and coalesce(
            account_periods.first_paid_on >= build_dates.as_of_date, true
        ) as is_trial
    from account_periods
    inner join build_dates
        on
            account_periods.starts_on < build_dates.as_of_date
            and (
                account_periods.end_known_on is null
                or account_periods.end_known_on >= build_dates.as_of_date
            )
            and (
                account_periods.deleted_on is null
                or account_periods.deleted_on >= build_dates.as_of_date
            )
    inner join first_starts
        on account_periods.account_id = first_starts.account_id
),

with_attributes as (
    select
        account_dates.account_id,
        account_dates.as_of_date,
        account_dates.day_number,
        account_dates.is_trial,
        accounts.segment,
        accounts.plan,
        accounts.region,
        accounts.csm_id,
        coalesce(account_subscriptions.seats, accounts.seats_licensed) as seats,
        {{ customer_health.days_between(
            'account_dates.first_started_on', 'account_dates.as_of_date'
        ) }} as tenure_days,
        account_subscriptions.mrr_amount,
        account_subscriptions.renewal_date
    from account_dates
    inner join accounts
        on account_dates.account_id = accounts.account_id
    left join account_subscriptions
        on
            account_dates.account_id = account_subscriptions.account_id
            and account_dates.as_of_date = account_subscriptions.as_of_date
),

final as (
    select
        account_id,
        as_of_date,
        day_number,
        segment,
        plan,
        region,
        csm_id,
        cast(seats as bigint) as seats,
        tenure_days,
        case
            when is_trial then 'trial'
            when tenure_days < {{ customer_health.integer_var('onboarding_days') }}
                then 'onboarding'
            when
                {{ customer_health.days_between('as_of_date', 'renewal_date') }}
                <= {{ customer_health.integer_var('renewal_window_days') }}
                then 'renewal_window'
            else 'active'
        end as lifecycle_stage,
        mrr_amount,
        12 * mrr_amount as arr_amount,
        renewal_date
    from with_attributes
)

select * from final
