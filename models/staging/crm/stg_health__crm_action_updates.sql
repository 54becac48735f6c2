{{ customer_health.stage_raw_table('crm_action_updates') }}
