{#- A line of a case expression: what a customer does before the account began is set aside.

    rows: the CTE, joined to a CTE account_starts;  moment: timestamp column
    Example: when tickets.opened_at < cast(account_starts.started_on as timestamp)
        then 'before_start'. -#}
{% macro account_start_check(rows, moment) -%}
    {%- set start = 'cast(account_starts.started_on as ' ~ dbt.type_timestamp() ~ ')' -%}
    when {{ rows }}.{{ moment }} < {{ start }} then 'before_start'
{%- endmacro %}
