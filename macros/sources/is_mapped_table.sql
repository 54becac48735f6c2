{#- Whether the account ids of a raw table are a vendor's own and have to be looked up in
    int_health__account_identity.

    table: name in the input contract
    Example: is_mapped_table('support_tickets') -> true where Zendesk is connected. -#}
{% macro is_mapped_table(table) -%}
    {{ return(customer_health.connector_of(table) in customer_health.mapped_vendors()) }}
{%- endmacro %}
