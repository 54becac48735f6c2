{{ config(enabled=customer_health.is_connected('posthog')) }}

{{ customer_health.account_links_of_keys('posthog') }}
