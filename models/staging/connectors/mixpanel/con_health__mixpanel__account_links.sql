{{ config(enabled=customer_health.is_connected('mixpanel')) }}

{{ customer_health.account_links_of_keys('mixpanel') }}
