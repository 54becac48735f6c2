{#- Whether a text matches a regular expression. The patterns of this project use character classes
    and no backslash, since engines escape those differently.

    expression: SQL of text;  pattern: text, anchored by the caller
    Example: matches('code', '^[0-9]+$') -> regexp_matches(code, '^[0-9]+$'). -#}
{% macro matches(expression, pattern) -%}
    {{ return(adapter.dispatch('matches', 'customer_health')(expression, pattern)) }}
{%- endmacro %}

{% macro default__matches(expression, pattern) -%}
    regexp_like({{ expression }}, '{{ pattern }}')
{%- endmacro %}

{% macro duckdb__matches(expression, pattern) -%}
    regexp_matches({{ expression }}, '{{ pattern }}')
{%- endmacro %}

{% macro postgres__matches(expression, pattern) -%}
    ({{ expression }} ~ '{{ pattern }}')
{%- endmacro %}

{% macro spark__matches(expression, pattern) -%}
    ({{ expression }} rlike '{{ pattern }}')
{%- endmacro %}

{% macro bigquery__matches(expression, pattern) -%}
    regexp_contains({{ expression }}, r'{{ pattern }}')
{%- endmacro %}

{#- Named, so that it does not fall back to what PostgreSQL does by chance. -#}
{% macro redshift__matches(expression, pattern) -%}
    ({{ expression }} ~ '{{ pattern }}')
{%- endmacro %}
