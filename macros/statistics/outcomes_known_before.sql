{#- The date before which outcomes are known for good: until the grace for late renewals is over nobody
    knows whether an end is a churn.

    Example: outcomes_known_before() -> as_of - 14 days. -#}
{% macro outcomes_known_before() -%}
    {{ return(customer_health.add_days(
        customer_health.as_of_date(), -1 * customer_health.integer_var('renewal_grace_days')
    )) }}
{%- endmacro %}
