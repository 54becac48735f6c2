-- Where every account of the base stands on as_of_date, also those that are not scored any more.
with

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

account_periods as (select * from {{ ref('int_health__account_periods') }}),

spine as (
    select *
    from {{ ref('int_health__spine') }}
    where as_of_date = {{ customer_health.as_of_date() }}
),

started_periods as (
    select
        account_id,
        starts_on,
        ends_on,
        end_known_on,
        is_churn,
        min(starts_on) over (partition by account_id) as first_started_on,
        row_number() over (
            partition by account_id
            order by starts_on desc, period_number desc
        ) as recency_rank
    from account_periods
    where starts_on < {{ customer_health.as_of_date() }}
),

final as (
    select
        accounts.account_id,
        coalesce(
            spine.lifecycle_stage,
            case
                when accounts.is_deleted then 'inactive'
                when started_periods.is_churn then 'churned'
                else 'inactive'
            end
        ) as lifecycle_stage,
        spine.account_id is not null as is_current,
        started_periods.first_started_on as customer_since_date,
        case
            when
                started_periods.is_churn
                and started_periods.end_known_on < {{ customer_health.as_of_date() }}
                then started_periods.ends_on
        end as churn_date,
        spine.seats,
        {{ customer_health.days_between(
            'started_periods.first_started_on', customer_health.as_of_date()
        ) }} as tenure_days,
        spine.mrr_amount,
        spine.arr_amount,
        spine.renewal_date
    from accounts
    inner join started_periods
        on
            accounts.account_id = started_periods.account_id
            and started_periods.recency_rank = 1
    left join spine
        on accounts.account_id = spine.account_id
)

select * from final
