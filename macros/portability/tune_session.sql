{#- Hook before a model: settings of its transaction, where an engine plans large joins badly by
    itself. Nothing on most engines.

    Example: tune_session() on PostgreSQL -> set local enable_nestloop = off. -#}
{% macro tune_session() -%}
    {{ return(adapter.dispatch('tune_session', 'customer_health')()) }}
{%- endmacro %}

{% macro default__tune_session() -%}{%- endmacro %}

{#- Behind three joins PostgreSQL takes tens of thousands of rows for one, and loops over them: what
    takes seconds with hash joins then takes minutes. Joins that can only loop still do. -#}
{% macro postgres__tune_session() -%}
    set local enable_nestloop = off
{%- endmacro %}

{#- Redshift would take PostgreSQL's. -#}
{% macro redshift__tune_session() -%}{%- endmacro %}
