{#- Whether the result of a call, in a team's own words, says that nobody was reached. No result says
    nothing against a talk.

    expression: SQL of text, lower case
    Example: 'left voicemail' -> true;  'connected' -> false;  null -> false. -#}
{% macro is_nobody_reached(expression) -%}
    (
        coalesce({{ expression }}, '') like '%voicemail%'
        or coalesce({{ expression }}, '') like '%voice mail%'
        or coalesce({{ expression }}, '') like '%left%message%'
        or coalesce({{ expression }}, '') like '%no answer%'
        or coalesce({{ expression }}, '') like '%no contact%'
        or coalesce({{ expression }}, '') like '%busy%'
        or coalesce({{ expression }}, '') like '%wrong%'
        or coalesce({{ expression }}, '') like '%not available%'
    )
{%- endmacro %}
