{#- The incremental strategy that replaces the rows of the keys that came again and keeps all others.

    Example: keyed_strategy() -> delete+insert; on Spark merge. -#}
{% macro keyed_strategy() -%}
    {{ return(adapter.dispatch('keyed_strategy', 'customer_health')()) }}
{%- endmacro %}

{% macro default__keyed_strategy() -%}
    {{ return('delete+insert') }}
{%- endmacro %}

{% macro spark__keyed_strategy() -%}
    {{ return('merge') }}
{%- endmacro %}

{% macro bigquery__keyed_strategy() -%}
    {{ return('merge') }}
{%- endmacro %}
