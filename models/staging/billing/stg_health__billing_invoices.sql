{{ customer_health.stage_raw_table('billing_invoices') }}
