{{ customer_health.stage_raw_table('success_goals') }}
