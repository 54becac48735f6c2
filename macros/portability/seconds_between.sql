{#- Seconds between two timestamps, fractions included, as 64-bit float.
    dbt.datediff('hour') counts boundaries on some engines and rounds up on others.

    from_timestamp, to_timestamp: SQL of type timestamp
    Example: 10:00:00 and 11:30:00 -> 5400. -#}
{% macro seconds_between(from_timestamp, to_timestamp) -%}
    {{ return(adapter.dispatch('seconds_between', 'customer_health')(from_timestamp, to_timestamp)) }}
{%- endmacro %}

{% macro default__seconds_between(from_timestamp, to_timestamp) -%}
    cast(
        extract(epoch from {{ to_timestamp }}) - extract(epoch from {{ from_timestamp }})
        as {{ customer_health.type_double() }}
    )
{%- endmacro %}

{% macro spark__seconds_between(from_timestamp, to_timestamp) -%}
    cast(
        (unix_micros({{ to_timestamp }}) - unix_micros({{ from_timestamp }})) / 1000000.0
        as {{ customer_health.type_double() }}
    )
{%- endmacro %}

{#- Redshift's and Snowflake's epochs are whole seconds, and BigQuery has none. -#}
{% macro snowflake__seconds_between(from_timestamp, to_timestamp) -%}
    cast(
        datediff('microsecond', {{ from_timestamp }}, {{ to_timestamp }}) / 1000000.0
        as {{ customer_health.type_double() }}
    )
{%- endmacro %}

{% macro redshift__seconds_between(from_timestamp, to_timestamp) -%}
    cast(
        datediff(microsecond, {{ from_timestamp }}, {{ to_timestamp }}) / 1000000.0
        as {{ customer_health.type_double() }}
    )
{%- endmacro %}

{% macro bigquery__seconds_between(from_timestamp, to_timestamp) -%}
    cast(
        timestamp_diff({{ to_timestamp }}, {{ from_timestamp }}, microsecond) / 1000000
        as {{ customer_health.type_double() }}
    )
{%- endmacro %}
