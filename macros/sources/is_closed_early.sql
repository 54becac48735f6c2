{#- Whether something ended before it began. Many systems keep the end as a day: an end at midnight
    counts as that whole day.

    opened, closed: SQL of type timestamp, may be null
    Example: opened 2026-01-02 10:00, closed 2026-01-02 00:00 -> false;
        closed 2026-01-02 09:00 -> true;  closed 2026-01-01 00:00 -> true. -#}
{% macro is_closed_early(opened, closed) -%}
    (
        {{ closed }} < {{ opened }}
        and (
            cast({{ closed }} as date) < cast({{ opened }} as date)
            or {{ closed }} > cast(cast({{ closed }} as date) as {{ dbt.type_timestamp() }})
        )
    )
{%- endmacro %}
