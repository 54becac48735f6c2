-- One row per account that Acme has an owner for; nothing to do with the package's accounts.
with

account_owners as (select * from {{ ref('account_owners') }}),

final as (
    select
        account_id,
        owner_name
    from account_owners
)

select * from final
