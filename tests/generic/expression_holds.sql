{#- Rows for which a condition does not hold, or cannot be decided because a part of it is null.

    expression: SQL of type boolean over the columns of the model
    written_on: date column of a history table, to look only at the dates of this run
    returns: the offending rows -#}
{% test expression_holds(model, expression, written_on=none) %}

{% if expression is not string or not expression | trim %}
    {{ exceptions.raise_compiler_error(
        'expression_holds: `expression` takes SQL of a condition, for example'
        ~ ' "ends_on >= starts_on"'
    ) }}
{% endif %}

select *
from {{ model }}
where
    not coalesce({{ expression }}, false)
    {% if written_on %}and {{ customer_health.is_of_this_run(written_on) }}{% endif %}

{% endtest %}
