{#- Whether a table that is read by days has rows whose day cannot be read. They are on no day, so
    that every run has to look for them; asked once, since engines do not pass over the files that
    have none.

    relation: the staged rows;  column: the instant or date
    Example: has_rows_without_day(ref('stg_health__product_events'), 'occurred_at') -> false. -#}
{% macro has_rows_without_day(relation, column) -%}
    {%- if not execute -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set found = run_query('select 1 as one from ' ~ relation ~ ' where ' ~ column ~ ' is null limit 1') -%}
    {{ return(found.rows | length > 0) }}
{%- endmacro %}
