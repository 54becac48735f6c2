{#- An instant with a time zone as a plain timestamp in UTC, whatever the zone of the session.

    expression: SQL of an instant with zone
    Example: 2026-01-01 00:00:00+05:30 -> 2025-12-31 18:30:00. -#}
{% macro zoned_to_utc(expression) -%}
    {{ return(adapter.dispatch('zoned_to_utc', 'customer_health')(expression)) }}
{%- endmacro %}

{% macro default__zoned_to_utc(expression) -%}
    ({{ expression }} at time zone 'UTC')
{%- endmacro %}

{#- Spark keeps instants and shows them in the zone of the session, which has to be UTC. -#}
{% macro spark__zoned_to_utc(expression) -%}
    {{ expression }}
{%- endmacro %}

{% macro snowflake__zoned_to_utc(expression) -%}
    cast(convert_timezone('UTC', {{ expression }}) as timestamp_ntz)
{%- endmacro %}

{% macro bigquery__zoned_to_utc(expression) -%}
    {{ expression }}
{%- endmacro %}
