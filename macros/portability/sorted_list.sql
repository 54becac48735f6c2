{#- The texts of a group in their own order, as one text.

    expression: SQL of text;  delimiter: text without quotes
    Example: sorted_list('metric_label', ', ') of the rows NPS, CSAT -> CSAT, NPS. -#}
{% macro sorted_list(expression, delimiter) -%}
    {{ return(adapter.dispatch('sorted_list', 'customer_health')(expression, delimiter)) }}
{%- endmacro %}

{% macro default__sorted_list(expression, delimiter) -%}
    {{ return(dbt.listagg(expression, "'" ~ delimiter ~ "'", 'order by ' ~ expression)) }}
{%- endmacro %}

{#- dbt's own macro leaves the order out on Spark. -#}
{% macro spark__sorted_list(expression, delimiter) -%}
    array_join(array_sort(collect_list({{ expression }})), '{{ delimiter }}')
{%- endmacro %}
