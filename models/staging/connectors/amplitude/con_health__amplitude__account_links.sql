{{ config(enabled=customer_health.is_connected('amplitude')) }}

{{ customer_health.account_links_of_keys('amplitude') }}
