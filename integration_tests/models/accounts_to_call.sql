with

scores as (select * from {{ ref('customer_health', 'fct_health__account_scores') }}),

health_accounts as (select * from {{ ref('customer_health', 'dim_health__accounts') }}),

accounts as (select * from {{ ref('accounts') }}),

newest_scores as (
    select *
    from scores
    where as_of_date = (select max(as_of_date) from scores)
),

final as (
    select
        newest_scores.account_id,
        health_accounts.account_name,
        accounts.owner_name,
        newest_scores.band,
        newest_scores.health_score,
        {{ safe_divide('newest_scores.known_metric_count', 'newest_scores.applicable_metric_count') }}
            as known_percent
    from newest_scores
    inner join health_accounts
        on newest_scores.account_id = health_accounts.account_id
    left join accounts
        on newest_scores.account_id = accounts.account_id
)

select * from final
