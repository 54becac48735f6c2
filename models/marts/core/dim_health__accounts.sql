with

accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

account_states as (select * from {{ ref('int_health__account_states') }}),

scores as (
    select *
    from {{ ref('fct_health__account_scores') }}
    where as_of_date = {{ customer_health.as_of_date() }}
),

final as (
    select
        accounts.account_id,
        accounts.account_name,
        accounts.parent_account_id,
        accounts.merged_into_account_id,
        accounts.segment,
        accounts.industry,
        accounts.region,
        accounts.plan,
        accounts.csm_id,
        account_states.lifecycle_stage,
        account_states.customer_since_date,
        account_states.tenure_days,
        account_states.seats,
        account_states.mrr_amount,
        account_states.arr_amount,
        cast({{ customer_health.code_var('reporting_currency') }} as {{ dbt.type_string() }})
            as currency_code,
        account_states.renewal_date,
        account_states.churn_date,
        accounts.churn_reason,
        account_states.is_current,
        scores.account_id is not null as is_scored
    from account_states
    inner join accounts
        on account_states.account_id = accounts.account_id
    left join scores
        on account_states.account_id = scores.account_id
)

select * from final
