{#- The raw tables that a run reads by days and not as a whole: they grow with use, and what came
    before the last days was reduced by an earlier run.

    Example: windowed_tables() -> ['product_events', 'product_usage_daily']. -#}
{% macro windowed_tables() -%}
    {{ return(['product_events', 'product_usage_daily']) }}
{%- endmacro %}
