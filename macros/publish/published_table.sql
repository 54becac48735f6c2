{#- A mart as a read view names it: without the database. The readers' copy of the marts has another
    name than the candidate that dbt builds, and a view must work in both.

    model: name of the mart
    Example: published_table('dim_health__accounts') -> "customer_health"."dim_health__accounts". -#}
{% macro published_table(model) -%}
    {%- if target.type == 'duckdb' -%}
        {{ ref(model).include(database=false) }}
    {%- else -%}
        {{ ref(model) }}
    {%- endif -%}
{%- endmacro %}
