-- One row per account that must have a score or has one at as_of_date.
with

accounts as (
    select account_id
    from dim_health__accounts
    where is_scored
),

scores as (
    select account_scores.account_id
    from fct_health__account_scores as account_scores
    inner join gate_run
        on account_scores.as_of_date = gate_run.as_of_date
),

final as (
    select
        coalesce(accounts.account_id, scores.account_id) as row_key,
        accounts.account_id is not null as is_scored,
        scores.account_id is not null as has_row
    from accounts
    full outer join scores
        on accounts.account_id = scores.account_id
)

select * from final
