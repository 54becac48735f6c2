{#- The condition that joins a value to the one piece of its metric's anchor line; null joins none.
    An open end is written as the largest number, so that every condition compares one side with the
    other: engines then look pieces up by their metric, and do not try all of them.

    values_name: relation with scoring_version, scorecard_key, metric_key, tenure_days
    value: SQL of the metric value
    segments: name of the joined int_health__anchor_segments

    Example: a value of 4 joins the piece from 0 (included) to 10 (not included). -#}
{% macro anchor_join(values_name, value, segments) -%}
    {%- set largest = 'cast(1.7976931348623157e308 as ' ~ customer_health.type_double() ~ ')' -%}
    {{ values_name }}.scoring_version = {{ segments }}.scoring_version
    and {{ values_name }}.scorecard_key = {{ segments }}.scorecard_key
    and {{ values_name }}.metric_key = {{ segments }}.metric_key
    and {{ values_name }}.tenure_days >= {{ segments }}.tenure_days_from
    and {{ values_name }}.tenure_days < coalesce({{ segments }}.tenure_days_to, 2147483647)
    and {{ value }} >= coalesce({{ segments }}.value_from, -{{ largest }})
    and {{ value }} < coalesce({{ segments }}.value_to, {{ largest }})
{%- endmacro %}
