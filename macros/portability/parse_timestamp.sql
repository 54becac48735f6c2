{#- ISO 8601 text as a timestamp in UTC; null where it is none.

    `Z`, `UTC`, `+05:30`, `+0530` and `+05` are applied. Text without offset counts in naive_zone;
    with no zone it is null, since a guess would be wrong for most of the world. A date alone is
    its midnight in UTC, as a column of type date would be.

    expression: SQL of text, trimmed;  naive_zone: name of a zone, or none
    Example: parse_timestamp("'2026-01-01T00:00:00+05'", none) -> 2025-12-31 19:00:00. -#}
{% macro parse_timestamp(expression, naive_zone=none) -%}
    {%- set patterns = customer_health.timestamp_patterns() -%}
    case
        when {{ customer_health.matches(expression, patterns['zoned']) }}
            then {{ customer_health.cast_zoned_text(expression) }}
        when {{ customer_health.matches(expression, patterns['date']) }}
            then {{ dbt.safe_cast(expression, dbt.type_timestamp()) }}
        {%- if naive_zone is not none %}
        when {{ customer_health.matches(expression, patterns['naive']) }}
            then {{ customer_health.cast_naive_text(expression, naive_zone) }}
        {%- endif %}
    end
{%- endmacro %}

{#- Text that has been found to carry an offset, as a timestamp in UTC. -#}
{% macro cast_zoned_text(expression) -%}
    {{ return(adapter.dispatch('cast_zoned_text', 'customer_health')(expression)) }}
{%- endmacro %}

{% macro default__cast_zoned_text(expression) -%}
    {{ dbt.safe_cast(expression, dbt.type_timestamp()) }}
{%- endmacro %}

{#- DuckDB drops the offset in a cast to timestamp, and reads only ±hh and ±hh:mm after full
    seconds in a cast to timestamptz: other spellings are brought to that one. -#}
{% macro duckdb__cast_zoned_text(expression) -%}
    (
        coalesce(
            try_cast({{ expression }} as timestamptz),
            try_cast(
                regexp_replace(
                    regexp_replace(
                        regexp_replace({{ expression }}, ' ?(Z|z|UTC)$', '+00'),
                        ' ?([+-][0-9]{2}):?([0-9]{2})$',
                        '\1:\2'
                    ),
                    '([T ][0-9]{2}:[0-9]{2}) ?([+-])',
                    '\1:00\2'
                ) as timestamptz
            )
        ) at time zone 'UTC'
    )
{%- endmacro %}

{% macro postgres__cast_zoned_text(expression) -%}
    (cast({{ expression }} as timestamptz) at time zone 'UTC')
{%- endmacro %}

{#- Spark reads an offset only after full seconds. A dollar sign stands before the number of a group. -#}
{% macro spark__cast_zoned_text(expression) -%}
    cast(
        regexp_replace(
            {{ customer_health.offset_spelled_out(expression, '$') }},
            '([T ][0-9][0-9]:[0-9][0-9])([+-])',
            '$1:00$2'
        ) as {{ dbt.type_timestamp() }}
    )
{%- endmacro %}

{#- Text that has been found to carry no offset, as a timestamp in UTC. -#}
{% macro cast_naive_text(expression, zone) -%}
    {{ return(adapter.dispatch('cast_naive_text', 'customer_health')(expression, zone)) }}
{%- endmacro %}

{% macro default__cast_naive_text(expression, zone) -%}
    (
        ({{ dbt.safe_cast(expression, dbt.type_timestamp()) }} at time zone '{{ zone }}')
        at time zone 'UTC'
    )
{%- endmacro %}

{% macro spark__cast_naive_text(expression, zone) -%}
    to_utc_timestamp({{ dbt.safe_cast(expression, dbt.type_timestamp()) }}, '{{ zone }}')
{%- endmacro %}

{#- Text with its offset written as ±hh:mm, which every engine reads.

    expression: SQL of text that ends in an offset;  backslash: as a plain text of the engine has it
    Example: 2026-01-01T00:00:00 +05 -> 2026-01-01T00:00:00+05:00. -#}
{% macro offset_spelled_out(expression, backslash) -%}
    regexp_replace(
        regexp_replace(
            regexp_replace({{ expression }}, ' ?(Z|z|UTC)$', '+00:00'),
            ' ?([+-][0-9][0-9])$',
            '{{ backslash }}1:00'
        ),
        ' ?([+-][0-9][0-9]):?([0-9][0-9])$',
        '{{ backslash }}1:{{ backslash }}2'
    )
{%- endmacro %}

{% macro snowflake__cast_zoned_text(expression) -%}
    cast(
        convert_timezone(
            'UTC',
            try_to_timestamp_tz(
                {{ customer_health.offset_spelled_out(expression, '\\\\') }}
            )
        ) as timestamp_ntz
    )
{%- endmacro %}

{#- In a plain string of BigQuery a backslash is written twice, as in Snowflake. -#}
{% macro bigquery__cast_zoned_text(expression) -%}
    safe_cast(
        {{ customer_health.offset_spelled_out(expression, '\\\\') }} as timestamp
    )
{%- endmacro %}

{% macro snowflake__cast_naive_text(expression, zone) -%}
    convert_timezone('{{ zone }}', 'UTC', try_cast({{ expression }} as timestamp_ntz))
{%- endmacro %}

{% macro bigquery__cast_naive_text(expression, zone) -%}
    timestamp(safe_cast({{ expression }} as datetime), '{{ zone }}')
{%- endmacro %}
