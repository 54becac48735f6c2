{#- What a value is (docs/scoring-model.md, section 2). Missing is never zero: it is zero only where
    the source covers the date and the metric says so. A source that began only just now, or has
    gone silent, does not cover it; an answer ages by itself, a count with its source.

    Needs the columns is_connected, signal_state, tenure_days, due_after_tenure_days, absence,
    value_age_days, stale_after_days, covered_days, source_age_days.

    Example: connected, no signal, covered and fresh, absence zero -> 'zero'. -#}
{% macro value_state() -%}
    case
        when not is_connected then 'not_connected'
        when signal_state = 'not_applicable' then 'not_applicable'
        when tenure_days < due_after_tenure_days then 'not_yet_due'
        when signal_state = 'not_yet_due' then 'not_yet_due'
        when signal_state = 'observed' and absence = 'unknown'
            then case when value_age_days > stale_after_days then 'unknown' else 'observed' end
        when covered_days is null or covered_days < due_after_tenure_days then 'unknown'
        when source_age_days > stale_after_days then 'unknown'
        when signal_state in ('observed', 'unknown') then signal_state
        else absence
    end
{%- endmacro %}
