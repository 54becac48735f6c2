{#- Rows that share the values of several columns, which together should name one row.

    columns: list of at least two column names
    written_on: date column of a history table, to look only at the dates of this run; one of the
        columns, so that no date shares a combination with another
    returns: one row per combination that stands more than once, with its number of rows -#}
{% test unique_combination(model, columns, written_on=none) %}

{% if columns is not iterable or columns is string or columns | length < 2 %}
    {{ exceptions.raise_compiler_error(
        'unique_combination: `columns` takes a list of two or more columns; for one use `unique`'
    ) }}
{% endif %}
{% if written_on and written_on not in columns %}
    {{ exceptions.raise_compiler_error(
        'unique_combination: `written_on` takes one of the `columns`'
    ) }}
{% endif %}

select
    {{ columns | join(',\n    ') }},
    count(*) as row_count
from {{ model }}
{% if written_on %}where {{ customer_health.is_of_this_run(written_on) }}{% endif %}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
