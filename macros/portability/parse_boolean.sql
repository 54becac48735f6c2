{#- Text as a flag; null where it is none.

    expression: SQL of text, trimmed
    Example: parse_boolean("'Yes'") -> true;  parse_boolean("'maybe'") -> null. -#}
{% macro parse_boolean(expression) -%}
    case
        when lower({{ expression }}) in ('true', 't', 'yes', 'y', '1') then true
        when lower({{ expression }}) in ('false', 'f', 'no', 'n', '0') then false
    end
{%- endmacro %}
