{{ config(materialized='view', contract={'enforced': false}) }}
-- depends_on: {{ ref('fct_health__publications') }}
{{ customer_health.current_rows('bi_health__account_360', has_date=false) }}
