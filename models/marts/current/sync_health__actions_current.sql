{{ config(materialized='view', contract={'enforced': false}) }}
-- depends_on: {{ ref('fct_health__publications') }}
{{ customer_health.current_rows('sync_health__actions', has_date=false) }}
