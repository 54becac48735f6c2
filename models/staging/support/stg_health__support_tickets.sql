{{ customer_health.stage_raw_table('support_tickets') }}
