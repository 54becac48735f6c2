{{ customer_health.stage_raw_table('survey_responses') }}
