{{ customer_health.stage_raw_table('product_events') }}
