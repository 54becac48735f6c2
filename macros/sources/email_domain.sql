{#- The domain of an e-mail address, lower case; null where the text is none.

    expression: SQL of text
    Example: 'Jo@Acme.com' -> acme.com. -#}
{% macro email_domain(expression) -%}
    case
        when {{ customer_health.matches(expression, '^[^@ ]+@[^@ ]+[.][^@ ]+$') }}
            then lower({{ dbt.split_part(expression, "'@'", 2) }})
    end
{%- endmacro %}
