with

subscriptions as (select * from {{ ref('int_health__valid_billing_subscriptions') }}),

terms as (
    select
        subscription_id,
        account_id,
        plan,
        seats,
        mrr_amount,
        currency_code,
        billing_period_months,
        cast(started_at as date) as started_on,
        cast(ended_at as date) as ended_on,
        cast(cancel_requested_at as date) as cancel_requested_on,
        cast(renews_at as date) as renews_on
    from subscriptions
    where status <> 'trialing'
),

-- the next start of any term of the account after this one has ended
next_starts as (
    select
        terms.subscription_id,
        min(later_terms.started_on) as next_started_on
    from terms
    inner join terms as later_terms
        on
            terms.account_id = later_terms.account_id
            and terms.ended_on <= later_terms.started_on
    group by 1
),

-- whether another term runs on when this one ends
overlapping_terms as (
    select
        terms.subscription_id,
        count(*) as overlap_count
    from terms
    inner join terms as other_terms
        on
            terms.account_id = other_terms.account_id
            and terms.subscription_id <> other_terms.subscription_id
            and terms.ended_on > other_terms.started_on
            and terms.ended_on < coalesce(other_terms.ended_on, cast('9999-12-31' as date))
    group by 1
),

final as (
    select
        terms.subscription_id,
        terms.account_id,
        terms.plan,
        terms.seats,
        terms.mrr_amount,
        terms.currency_code,
        terms.billing_period_months,
        terms.cancel_requested_on,
        -- an instant of a day is known from the next day's midnight on
        {{ customer_health.add_days('terms.started_on', 1) }} as active_from,
        -- while a renewal may still be signed the last terms count on: they are what would renew
        case
            when terms.ended_on is null then cast('9999-12-31' as date)
            when overlapping_terms.overlap_count is not null then terms.ended_on
            when terms.cancel_requested_on <= terms.ended_on then terms.ended_on
            else
                least(
                    coalesce(next_starts.next_started_on, cast('9999-12-31' as date)),
                    {{ customer_health.add_days(
                        'terms.ended_on', customer_health.integer_var('renewal_grace_days')
                    ) }}
                )
        end as active_to,
        -- never from ended_on: a churn in mid-term cuts that short, and would leak the outcome
        coalesce(
            terms.renews_on,
            cast(
                {{ dbt.dateadd('month', 'terms.billing_period_months', 'terms.started_on') }}
                as date
            )
        ) as renewal_date,
        terms.renews_on is null as is_renewal_projected
    from terms
    left join next_starts
        on terms.subscription_id = next_starts.subscription_id
    left join overlapping_terms
        on terms.subscription_id = overlapping_terms.subscription_id
    where terms.ended_on is null or terms.ended_on >= terms.started_on
)

select * from final
