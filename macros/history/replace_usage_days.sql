{#- Hook before the incremental usage tables: takes out the days that this run reads again, which are
    all of them where history is built from the start.

    Example: delete from usage_user_days where usage_date >= '2026-06-26' and usage_date < as_of. -#}
{% macro replace_usage_days() -%}
    {%- set rebuild_from = customer_health.usage_rebuild_from() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where
            usage_date < {{ customer_health.as_of_date() }}
            {%- if rebuild_from is not none %}
            and usage_date >= cast('{{ rebuild_from }}' as date)
            {%- endif %}
    {%- endif -%}
{%- endmacro %}
