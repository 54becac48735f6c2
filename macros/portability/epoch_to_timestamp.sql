{#- Seconds since 1970-01-01, or milliseconds where the number is too great for seconds, as a
    timestamp in UTC.

    expression: SQL of a number
    Example: epoch_to_timestamp('1767225600') -> 2026-01-01 00:00:00. -#}
{% macro epoch_to_timestamp(expression) -%}
    {%- set seconds -%}
        case
            when abs({{ expression }}) > 100000000000
                then floor({{ expression }} / cast(1000 as {{ customer_health.type_double() }}))
            else {{ expression }}
        end
    {%- endset -%}
    {{ return(adapter.dispatch('epoch_to_timestamp', 'customer_health')(seconds)) }}
{%- endmacro %}

{% macro default__epoch_to_timestamp(seconds) -%}
    {{ dbt.dateadd('second', 'cast(' ~ seconds ~ ' as ' ~ dbt.type_bigint() ~ ')',
        "cast('1970-01-01 00:00:00' as " ~ dbt.type_timestamp() ~ ')') }}
{%- endmacro %}

{#- Takes numbers beyond the range of an interval of seconds. -#}
{% macro duckdb__epoch_to_timestamp(seconds) -%}
    make_timestamp(cast({{ seconds }} as bigint) * 1000000)
{%- endmacro %}

{% macro postgres__epoch_to_timestamp(seconds) -%}
    (to_timestamp({{ seconds }}) at time zone 'UTC')
{%- endmacro %}

{% macro spark__epoch_to_timestamp(seconds) -%}
    timestamp_seconds(cast({{ seconds }} as bigint))
{%- endmacro %}

{% macro redshift__epoch_to_timestamp(seconds) -%}
    {{ return(customer_health.default__epoch_to_timestamp(seconds)) }}
{%- endmacro %}
