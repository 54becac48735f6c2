{{ config(enabled=customer_health.is_connected('chargebee', 'billing_invoices')) }}

with

invoices as (
    {{ customer_health.vendor_rows('chargebee', 'invoice', [
        ['id', 'id', 'required'],
        ['customer_id', 'id', 'required'],
        ['subscription_id', 'id', 'optional'],
        ['status', 'code', 'required'],
        ['total', 'double', 'required'],
        ['currency_code', 'currency', 'required'],
        ['issued_at', 'timestamp', 'required', ['date', 'generated_at']],
        ['due_at', 'timestamp', 'optional', ['due_date']],
        ['paid_at', 'timestamp', 'optional'],
        ['deleted', 'boolean', 'optional'],
    ], fills='billing_invoices') | indent(4) }}
),

credit_notes as (
    {{ customer_health.vendor_rows('chargebee', 'credit_note', [
        ['id', 'id', 'required'],
        ['customer_id', 'id', 'required'],
        ['subscription_id', 'id', 'optional'],
        ['type', 'code', 'optional'],
        ['status', 'code', 'optional'],
        ['total', 'double', 'required'],
        ['currency_code', 'currency', 'required'],
        ['issued_at', 'timestamp', 'required', ['date', 'generated_at']],
        ['deleted', 'boolean', 'optional'],
    ], may_lack=true) | indent(4) }}
),

minor_units as (select * from {{ ref('currency_minor_units') }}),

documents as (
    select
        id,
        customer_id,
        subscription_id,
        'charge' as invoice_type,
        total as amount,
        currency_code,
        issued_at,
        coalesce(due_at, issued_at) as due_at,
        case when status = 'paid' then coalesce(paid_at, issued_at) end as paid_at,
        case status
            when 'voided' then 'void'
            when 'pending' then 'draft'
            when 'payment_due' then 'open'
            when 'posted' then 'open'
            when 'not_paid' then 'open'
            else status
        end as status,
        loaded_at
    from invoices
    where not coalesce(deleted, false)

    union all

    -- what was paid back; an adjustment only makes an open invoice smaller
    select
        id,
        customer_id,
        subscription_id,
        'refund' as invoice_type,
        -1 * total as amount,
        currency_code,
        issued_at,
        issued_at as due_at,
        issued_at as paid_at,
        'paid' as status,
        loaded_at
    from credit_notes
    where
        coalesce(type, 'refundable') = 'refundable'
        and coalesce(status, 'refunded') = 'refunded'
        and not coalesce(deleted, false)
),

final as (
    select
        documents.id as invoice_id,
        documents.customer_id as account_id,
        documents.subscription_id,
        documents.invoice_type,
        {{ customer_health.from_minor_units('documents.amount', 'minor_units.minor_units') }}
            as amount,
        documents.currency_code,
        documents.issued_at,
        documents.due_at,
        documents.paid_at,
        documents.status,
        documents.loaded_at
    from documents
    left join minor_units
        on documents.currency_code = minor_units.currency_code
)

select * from final
