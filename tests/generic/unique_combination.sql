{#- Rows that share the values of several columns, which together should name one row.

    columns: list of at least two column names
    returns: one row per combination that stands more than once, with its number of rows -#}
{% test unique_combination(model, columns) %}

{% if columns is not iterable or columns is string or columns | length < 2 %}
    {{ exceptions.raise_compiler_error(
        'unique_combination: `columns` takes a list of two or more columns; for one use `unique`'
    ) }}
{% endif %}

select
    {{ columns | join(',\n    ') }},
    count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
