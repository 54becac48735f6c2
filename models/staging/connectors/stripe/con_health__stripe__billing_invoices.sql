{{ config(enabled=customer_health.is_connected('stripe', 'billing_invoices')) }}

with

invoices as (
    {{ customer_health.vendor_rows('stripe', 'invoice', [
        ['id', 'id', 'required'],
        ['customer_id', 'id', 'required', ['customer_id', 'customer']],
        ['subscription_id', 'id', 'optional', ['subscription_id', 'subscription',
            'parent_subscription_details_subscription_id']],
        ['status', 'code', 'required'],
        ['total', 'double', 'required'],
        ['currency', 'currency', 'required'],
        ['finalized_at', 'timestamp', 'optional', ['status_transitions_finalized_at',
            'status_transitions.finalized_at']],
        ['created', 'timestamp', 'required', ['created', 'period_end']],
        ['due_date', 'timestamp', 'optional'],
        ['paid_at', 'timestamp', 'optional', ['status_transitions_paid_at',
            'status_transitions.paid_at']],
        ['livemode', 'boolean', 'optional'],
    ], fills='billing_invoices') | indent(4) }}
),

charges as (
    {{ customer_health.vendor_rows('stripe', 'charge', [
        ['id', 'id', 'required'],
        ['customer_id', 'id', 'optional', ['customer_id', 'customer']],
        ['invoice_id', 'id', 'optional', ['invoice_id', 'invoice']],
        ['livemode', 'boolean', 'optional'],
    ], may_lack=true) | indent(4) }}
),

refunds as (
    {{ customer_health.vendor_rows('stripe', 'refund', [
        ['id', 'id', 'required'],
        ['charge_id', 'id', 'required', ['charge_id', 'charge']],
        ['amount', 'double', 'required'],
        ['currency', 'currency', 'required'],
        ['created', 'timestamp', 'required'],
        ['status', 'code', 'optional'],
    ], may_lack=true) | indent(4) }}
),

minor_units as (select * from {{ ref('currency_minor_units') }}),

documents as (
    select
        id,
        customer_id,
        subscription_id,
        case when total < 0 then 'refund' else 'charge' end as invoice_type,
        total as amount,
        currency,
        coalesce(finalized_at, created) as issued_at,
        coalesce(due_date, finalized_at, created) as due_at,
        case when status = 'paid' then coalesce(paid_at, finalized_at, created) end as paid_at,
        status,
        loaded_at
    from invoices
    where
        status <> 'draft'
        and coalesce(livemode, true)

    union all

    select
        refunds.id,
        charges.customer_id,
        invoices.subscription_id,
        'refund' as invoice_type,
        -1 * refunds.amount as amount,
        refunds.currency,
        refunds.created as issued_at,
        refunds.created as due_at,
        refunds.created as paid_at,
        'paid' as status,
        refunds.loaded_at
    from refunds
    inner join charges
        on refunds.charge_id = charges.id
    left join invoices
        on charges.invoice_id = invoices.id
    where
        coalesce(refunds.status, 'succeeded') = 'succeeded'
        and coalesce(charges.livemode, true)
        -- a charge without a customer is a sale to nobody we know
        and charges.customer_id is not null
),

final as (
    select
        documents.id as invoice_id,
        documents.customer_id as account_id,
        documents.subscription_id,
        documents.invoice_type,
        {{ customer_health.from_minor_units('documents.amount', 'minor_units.stripe_minor_units') }}
            as amount,
        documents.currency as currency_code,
        documents.issued_at,
        documents.due_at,
        documents.paid_at,
        documents.status,
        documents.loaded_at
    from documents
    left join minor_units
        on documents.currency = minor_units.currency_code
)

select * from final
