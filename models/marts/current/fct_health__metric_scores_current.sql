{{ config(materialized='view', contract={'enforced': false}) }}
-- depends_on: {{ ref('fct_health__account_scores') }}
-- depends_on: {{ ref('fct_health__publications') }}
{{ customer_health.current_rows('fct_health__metric_scores') }}
