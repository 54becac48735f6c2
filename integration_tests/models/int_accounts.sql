with

accounts as (select * from {{ ref('accounts') }}),

final as (
    select
        owner_name,
        count(*) as account_count
    from accounts
    group by 1
)

select * from final
