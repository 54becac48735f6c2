{{ customer_health.stage_raw_table('marketing_engagements') }}
