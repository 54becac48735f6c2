with

metric_dates as (select * from {{ ref('int_health__metric_dates') }}),

account_subscriptions as (select * from {{ ref('int_health__account_subscriptions') }}),

terms as (select * from {{ ref('int_health__subscription_terms') }}),

exchange_rates as (select * from {{ ref('int_health__exchange_rates') }}),

invoices as (select * from {{ ref('int_health__invoice_amounts') }}),

subscription_values as (
    select
        account_subscriptions.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        case
            when metric_dates.metric_key = 'mrr' then account_subscriptions.mrr_amount
            when metric_dates.metric_key = 'billing_term_months'
                then cast(
                    account_subscriptions.billing_period_months
                    as {{ customer_health.type_double() }}
                )
            when metric_dates.metric_key = 'days_to_renewal'
                then cast(
                    {{ customer_health.days_between(
                        'metric_dates.as_of_date', 'account_subscriptions.renewal_date'
                    ) }} as {{ customer_health.type_double() }}
                )
            when account_subscriptions.cancel_requested_on is not null
                then cast(1 as {{ customer_health.type_double() }})
        end as metric_value,
        case
            when metric_dates.metric_key = 'cancel_notice'
                then cast(account_subscriptions.cancel_requested_on as timestamp)
            else cast(metric_dates.as_of_date as timestamp)
        end as observed_at,
        1 as sample_size
    from metric_dates
    inner join account_subscriptions
        on metric_dates.as_of_date = account_subscriptions.as_of_date
    where
        metric_dates.metric_key in (
            'mrr', 'billing_term_months', 'days_to_renewal', 'cancel_notice'
        )
),

-- both ends at today's exchange rate, so that a moving currency is no expansion
mrr_at_window_start as (
    select
        terms.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        {{ customer_health.exact_sum(
            'terms.mrr_amount * exchange_rates.rate_to_reporting_currency'
        ) }} as earlier_mrr_amount
    from metric_dates
    inner join terms
        on metric_dates.window_from between terms.active_from and terms.active_to
    inner join exchange_rates
        on
            terms.currency_code = exchange_rates.currency_code
            and metric_dates.as_of_date = exchange_rates.as_of_date
    where metric_dates.metric_key = 'mrr_change'
    group by 1, 2, 3, 4
),

mrr_changes as (
    select
        mrr_at_window_start.account_id,
        mrr_at_window_start.as_of_date,
        mrr_at_window_start.scoring_version,
        mrr_at_window_start.metric_key,
        {{ customer_health.safe_divide(
            'account_subscriptions.mrr_amount', 'mrr_at_window_start.earlier_mrr_amount'
        ) }} - 1 as metric_value,
        cast(mrr_at_window_start.as_of_date as timestamp) as observed_at,
        1 as sample_size
    from mrr_at_window_start
    inner join account_subscriptions
        on
            mrr_at_window_start.account_id = account_subscriptions.account_id
            and mrr_at_window_start.as_of_date = account_subscriptions.as_of_date
),

lifetime_values as (
    select
        invoices.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        cast(
            {{ customer_health.exact_sum('invoices.amount') }}
            as {{ customer_health.type_double() }}
        ) as metric_value,
        max(invoices.paid_at) as observed_at,
        count(*) as sample_size
    from metric_dates
    inner join invoices
        on metric_dates.as_of_date > invoices.paid_on
    where metric_dates.metric_key = 'lifetime_value'
    group by 1, 2, 3, 4
),

-- a charge that is due and not paid counts as late
timeliness as (
    select
        invoices.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        {{ customer_health.safe_divide(
            'sum(case when invoices.paid_on <= invoices.due_on then 1 else 0 end)', 'count(*)'
        ) }} as metric_value,
        max(invoices.due_at) as observed_at,
        count(*) as sample_size
    from metric_dates
    inner join invoices
        on
            metric_dates.as_of_date > invoices.due_on
            and metric_dates.window_from <= invoices.due_on
    where
        metric_dates.metric_key = 'payment_timeliness'
        and invoices.invoice_type = 'charge'
        and invoices.amount > 0
        and invoices.status not in ('void', 'draft')
    group by 1, 2, 3, 4
),

overdue as (
    select
        invoices.account_id,
        metric_dates.as_of_date,
        metric_dates.scoring_version,
        metric_dates.metric_key,
        cast(
            max({{ customer_health.days_between('invoices.due_on', 'metric_dates.as_of_date') }})
            as {{ customer_health.type_double() }}
        ) as metric_value,
        min(invoices.due_at) as observed_at,
        count(*) as sample_size
    from metric_dates
    inner join invoices
        on
            metric_dates.as_of_date > invoices.due_on
            and metric_dates.as_of_date <= coalesce(invoices.paid_on, cast('9999-12-31' as date))
    where
        metric_dates.metric_key = 'invoice_overdue_days'
        and invoices.invoice_type = 'charge'
        and invoices.amount > 0
        and invoices.status not in ('void', 'draft')
    group by 1, 2, 3, 4
),

measured as (
    select * from subscription_values
    union all
    select * from mrr_changes
    union all
    select * from lifetime_values
    union all
    select * from timeliness
    union all
    select * from overdue
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        metric_key,
        metric_value,
        observed_at,
        cast(sample_size as bigint) as sample_size,
        -- a subscription without an exchange rate for the date has an amount that nobody knows
        case when metric_value is null then 'unknown' else 'observed' end as value_state
    from measured
    where metric_value is not null or metric_key = 'mrr'
)

select * from final
