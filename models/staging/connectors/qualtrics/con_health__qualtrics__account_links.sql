{{ config(enabled=customer_health.is_connected('qualtrics')) }}

{{ customer_health.account_links_of_keys('qualtrics') }}
