{#- The domain in a key that account_key made of an e-mail address; null in any other.

    key: SQL of text
    Example: 'domain:acme.com' -> acme.com;  'A1' -> null. -#}
{% macro key_domain(key) -%}
    case
        when {{ key }} like 'domain:%'
            then nullif({{ dbt.split_part(key, "'domain:'", 2) }}, '')
    end
{%- endmacro %}
