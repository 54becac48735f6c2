{#- Hook after a model: tells the planner what the new table holds, where the engine would do so
    only a while later. Nothing on most engines.

    Example: collect_statistics() on PostgreSQL -> analyze "customer_health"."int_health__spine". -#}
{% macro collect_statistics() -%}
    {{ return(adapter.dispatch('collect_statistics', 'customer_health')()) }}
{%- endmacro %}

{% macro default__collect_statistics() -%}{%- endmacro %}

{% macro postgres__collect_statistics() -%}
    {%- if model.config.materialized in ('table', 'incremental') -%}
        analyze {{ this }}
    {%- endif -%}
{%- endmacro %}

{#- Redshift would take PostgreSQL's. -#}
{% macro redshift__collect_statistics() -%}{%- endmacro %}
