{#- When a row reached the warehouse, where the raw table says so, else null. It is the loader's own
    clock, so that text without offset counts as UTC and a bad value rejects nothing.

    types, classes: dicts of the raw columns
    Example: a raw column loaded_at of type timestamp -> loaded_at. -#}
{% macro raw_loaded_at(types, classes) -%}
    {%- set class = classes.get('loaded_at') -%}
    {%- if class == 'text' -%}
        {{ customer_health.parse_timestamp(
            customer_health.trimmed('loaded_at'), customer_health.naive_timezone() or 'UTC'
        ) }}
    {%- elif class in ['zoned', 'naive', 'date'] -%}
        {{ customer_health.cast_raw_column('loaded_at', 'timestamp', class, types['loaded_at']) }}
    {%- else -%}
        cast(null as {{ dbt.type_timestamp() }})
    {%- endif -%}
{%- endmacro %}
