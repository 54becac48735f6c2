{{ config(enabled=customer_health.is_connected('salesforce')) }}

with

opportunities as (
    {{ customer_health.vendor_rows('salesforce', 'opportunity', [
        ['opportunity_id', 'id', 'required', ['id']],
        ['account_id', 'id', 'required', ['account_id', 'accountid']],
        ['opportunity_type', 'code', 'optional', ['type']],
        ['is_won', 'boolean', 'required', ['is_won', 'iswon']],
        ['is_closed', 'boolean', 'required', ['is_closed', 'isclosed']],
        ['amount', 'double', 'optional'],
        ['currency_code', 'currency', 'optional', ['currency_iso_code', 'currencyisocode']],
        ['created_at', 'timestamp', 'required', ['created_date', 'createddate']],
        ['closed_at', 'timestamp', 'optional', ['close_date', 'closedate']],
    ], fills='crm_opportunities') | indent(4) }}
),

final as (
    select
        opportunity_id,
        account_id,
        {{ customer_health.opportunity_type('opportunity_type') }} as opportunity_type,
        case when is_won then 'won' when is_closed then 'lost' else 'open' end as stage,
        amount,
        coalesce(currency_code, {{ customer_health.code_var('reporting_currency') }})
            as currency_code,
        -- an opportunity of the past that was entered later began when it was closed, at the latest
        case
            when
                (is_won or is_closed)
                and {{ customer_health.is_closed_early('created_at', 'closed_at') | indent(16) }}
                then closed_at
            else created_at
        end as created_at,
        case when is_won or is_closed then coalesce(closed_at, created_at) end as closed_at,
        loaded_at
    from opportunities
    where account_id is not null
)

select * from final
