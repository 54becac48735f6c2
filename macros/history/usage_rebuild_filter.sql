{#- The condition that keeps a scan of product events to the days that this run reads again.

    column: SQL of the instant (timestamp) of the event
    Example: usage_rebuild_filter('occurred_at') -> occurred_at >= cast('2026-06-26' as timestamp);
    on a first run -> true. -#}
{% macro usage_rebuild_filter(column) -%}
    {%- set rebuild_from = customer_health.usage_rebuild_from() -%}
    {%- if rebuild_from is none -%}
        {{ return('true') }}
    {%- endif -%}
    {{ return(column ~ " >= cast('" ~ rebuild_from ~ "' as timestamp)") }}
{%- endmacro %}
