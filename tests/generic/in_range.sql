{#- Values outside a range, or not finite. Null is left to `not_null`.

    minimum, maximum: numbers, at least one of them; both ends are allowed values
    written_on: date column of a history table, to look only at the dates of this run
    returns: the offending rows -#}
{% test in_range(model, column_name, minimum=none, maximum=none, written_on=none) %}

{% if minimum is none and maximum is none %}
    {{ exceptions.raise_compiler_error('in_range: give `minimum`, `maximum` or both') }}
{% endif %}

select *
from {{ model }}
where
    {{ column_name }} is not null
    and (
        not {{ customer_health.is_finite(column_name) }}
        {% if minimum is not none %}or {{ column_name }} < {{ minimum }}{% endif %}
        {% if maximum is not none %}or {{ column_name }} > {{ maximum }}{% endif %}
    )
    {% if written_on %}and {{ customer_health.is_of_this_run(written_on) }}{% endif %}

{% endtest %}
