{#- The two-sided 95% quantile of the normal distribution, as a number for templates.

    Example: normal_quantile_95() -> 1.959963984540054. -#}
{% macro normal_quantile_95() -%}
    {{ return(1.959963984540054) }}
{%- endmacro %}
