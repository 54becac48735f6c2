{#- What a vendor's row tells about its account: the vendor's id of it, or else the domain of a
    person's e-mail address. The account links of the connector list both kinds of keys.

    id: SQL of text;  email: SQL of text
    Example: (null, 'jo@acme.com') -> domain:acme.com. -#}
{% macro account_key(id, email) -%}
    coalesce({{ id }}, 'domain:' || {{ customer_health.email_domain(email) }})
{%- endmacro %}
