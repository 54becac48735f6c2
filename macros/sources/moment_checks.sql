{#- Lines of a case expression that check when something happened: not before 1970, and no more
    than a day after the row was loaded (clocks and zones may be off by less). Without loaded_at
    there is nothing to compare with.

    rows: the CTE;  moments: list of timestamp columns
    is_past: whether these moments can only lie in the past; false for dates that are agreed ahead,
        such as the start of a subscription
    Example: when tickets.opened_at < cast('1970-01-01' as timestamp) then 'before_start'. -#}
{% macro moment_checks(rows, moments, is_past=true) -%}
    {%- for moment in moments %}
            when {{ rows }}.{{ moment }} < cast('1970-01-01' as {{ dbt.type_timestamp() }})
                then 'before_start'
    {%- endfor %}
    {%- for moment in moments if is_past %}
            when
                {{ rows }}.{{ moment }} > {{ rows }}.loaded_at
                and {{ customer_health.seconds_between(
                    rows ~ '.loaded_at', rows ~ '.' ~ moment
                ) }} > 86400
                then 'future'
    {%- endfor %}
{%- endmacro %}
