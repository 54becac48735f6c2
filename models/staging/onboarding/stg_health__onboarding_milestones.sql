{{ customer_health.stage_raw_table('onboarding_milestones') }}
