{{ config(materialized='table') }}

with

users as (select * from {{ ref('stg_health__product_users') }}),

valid_accounts as (select * from {{ ref('int_health__valid_crm_accounts') }}),

checked as (
    select
        {{ customer_health.contract_columns('product_users', 'users') | indent(8) }},
        {{ customer_health.row_key('product_users', 'users') }} as row_key,
        users.loaded_at,
        case
            {{ customer_health.value_checks('product_users', 'users') }}
            when valid_accounts.account_id is null then 'orphan'
            {{- customer_health.moment_checks('users', ['created_at']) }}
            when {{ customer_health.is_closed_early('users.created_at', 'users.deactivated_at') }}
                then 'closed_before_opened'
        end as rejection_reason
    from users
    left join valid_accounts
        on users.account_id = valid_accounts.account_id
),

{{ customer_health.settled_rows('product_users') }}

select * from final
