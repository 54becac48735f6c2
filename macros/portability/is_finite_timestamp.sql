{#- Whether an instant is a real one: some engines have the timestamps infinity and -infinity.

    expression: SQL of type timestamp
    Example: is_finite_timestamp("timestamp 'infinity'") -> false. -#}
{% macro is_finite_timestamp(expression) -%}
    {{ return(adapter.dispatch('is_finite_timestamp', 'customer_health')(expression)) }}
{%- endmacro %}

{% macro default__is_finite_timestamp(expression) -%}
    ({{ expression }} is not null)
{%- endmacro %}

{% macro duckdb__is_finite_timestamp(expression) -%}
    isfinite({{ expression }})
{%- endmacro %}

{% macro postgres__is_finite_timestamp(expression) -%}
    isfinite({{ expression }})
{%- endmacro %}

{#- Redshift has no infinite instants, and takes PostgreSQL's macros where it has none of its own. -#}
{% macro redshift__is_finite_timestamp(expression) -%}
    ({{ expression }} is not null)
{%- endmacro %}
