{#- The condition for the rows of a history table that this run has written, for its tests: what
    earlier runs wrote was tested then, and a test of all history takes longer every day. Days that
    are read again for a late row are among them.

    column: name of the column with the date
    Example: is_of_this_run('as_of_date')
        -> as_of_date >= (select min(as_of_date) - 3 days from int_health__build_dates). -#}
{% macro is_of_this_run(column) -%}
    {{ column }} >= (
        select {{ customer_health.add_days(
            'min(as_of_date)', -1 * customer_health.integer_var('lookback_days') - 1
        ) }}
        from {{ ref('int_health__build_dates') }}
    )
{%- endmacro %}
