{#- Whether a text is a number of any size, or a name of a number that is not finite.

    expression: SQL of text, trimmed
    Example: looks_like_number("'1e400'") -> true;  looks_like_number("'$5'") -> false. -#}
{% macro looks_like_number(expression) -%}
    {{ customer_health.matches(
        'lower(' ~ expression ~ ')',
        '^[+-]?(nan|inf|infinity|([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?)$'
    ) }}
{%- endmacro %}
