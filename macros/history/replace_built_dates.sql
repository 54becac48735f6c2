{#- Hook before an incremental history model: takes out the rows of the dates that this run builds
    again, so that a date with fewer rows than before (or none) is replaced as well. A delete keyed
    on the new rows would leave those. The dates of a run always reach to the end: a band depends on
    the days before it, so that a corrected day is followed by all later ones.

    date_column: the column that holds the date
    Example: delete from fct where as_of_date >= (select min(as_of_date) from build_dates). -#}
{% macro replace_built_dates(date_column='as_of_date') -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where {{ date_column }} >= (select min(as_of_date) from {{ ref('int_health__build_dates') }})
    {%- endif -%}
{%- endmacro %}
