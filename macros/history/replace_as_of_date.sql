{#- Hook before an incremental model with one set of rows per date of a run: takes out those of an
    earlier run for the same date.

    Example: delete from fct where as_of_date = cast('2026-06-30' as date). -#}
{% macro replace_as_of_date() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where as_of_date = {{ customer_health.as_of_date() }}
    {%- endif -%}
{%- endmacro %}
