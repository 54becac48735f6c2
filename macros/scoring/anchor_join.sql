{#- The condition that joins a value to the one piece of its metric's anchor line.

    values_name: relation with scoring_version, scorecard_key, metric_key, tenure_days
    value: SQL of the metric value
    segments: name of the joined int_health__anchor_segments

    Example: a value of 4 joins the piece from 0 (included) to 10 (not included). -#}
{% macro anchor_join(values_name, value, segments) -%}
    {{ values_name }}.scoring_version = {{ segments }}.scoring_version
    and {{ values_name }}.scorecard_key = {{ segments }}.scorecard_key
    and {{ values_name }}.metric_key = {{ segments }}.metric_key
    and {{ values_name }}.tenure_days >= {{ segments }}.tenure_days_from
    and ({{ segments }}.tenure_days_to is null or {{ values_name }}.tenure_days < {{ segments }}.tenure_days_to)
    and ({{ segments }}.value_from is null or {{ value }} >= {{ segments }}.value_from)
    and ({{ segments }}.value_to is null or {{ value }} < {{ segments }}.value_to)
{%- endmacro %}
