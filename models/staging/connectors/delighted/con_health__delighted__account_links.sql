{{ config(enabled=customer_health.is_connected('delighted')) }}

{{ customer_health.account_links_of_keys('delighted') }}
