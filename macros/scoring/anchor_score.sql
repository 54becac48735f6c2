{#- The metric score (0-10) of a value: linear between the neighbouring anchor points, flat outside,
    or the left point's score where the metric is a step. The only place where a value becomes a
    score. Needs the two tables joined as in `anchor_join`.

    value: SQL of the metric value
    segments: name of the joined int_health__anchor_segments

    Example: points (0 -> 0), (10 -> 10): a value of 4 -> 4. -#}
{% macro anchor_score(value, segments) -%}
    case
        when {{ segments }}.interpolation = 'step' then {{ segments }}.score_from
        else {{ segments }}.score_from
            + ({{ segments }}.score_to - {{ segments }}.score_from)
            * coalesce({{ customer_health.safe_divide(
                value ~ ' - ' ~ segments ~ '.value_from',
                segments ~ '.value_to - ' ~ segments ~ '.value_from'
            ) }}, 0)
    end
{%- endmacro %}
