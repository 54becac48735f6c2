{#- What can become of an account, each with the word that labels and counts of it begin with.

    Example: {% for outcome, counted_as in customer_health.outcome_kinds() %} -> 'churn', 'churned'. -#}
{% macro outcome_kinds() -%}
    {{ return([
        ('churn', 'churned'), ('contraction', 'contracted'), ('renewal', 'renewed'),
        ('expansion', 'expanded'),
    ]) }}
{%- endmacro %}
