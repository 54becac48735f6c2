{#- The date that is scored last. The only clock of the project: the var, or the UTC date on which
    the dbt run started. A row for this date uses instants before its midnight (UTC).

    Example: as_of_date() -> cast('2026-06-30' as date). -#}
{% macro as_of_date() -%}
    {%- set configured = customer_health.date_var('as_of_date') -%}
    {%- if configured is not none -%}
        {{ return(configured) }}
    {%- endif -%}
    {%- set today = run_started_at.astimezone(modules.pytz.utc).strftime('%Y-%m-%d') -%}
    {{ return("cast('" ~ today ~ "' as date)") }}
{%- endmacro %}
