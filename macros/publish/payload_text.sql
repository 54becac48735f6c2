{#- One text of several columns, the same on every engine: each part carries its length, so that no
    two different rows give the same text, and null differs from an empty text. No floats: their
    text differs between engines.

    relation: name of the relation;  columns: list of column names
    Example: ('a', null) -> 1:a|-|. -#}
{% macro payload_text(relation, columns) -%}
    {%- for column in columns -%}
        {%- set value = 'cast(' ~ relation ~ '.' ~ column ~ ' as ' ~ dbt.type_string() ~ ')' -%}
        coalesce(
            cast(length({{ value }}) as {{ dbt.type_string() }}) || ':' || {{ value }}, '-'
        ) || '|'
        {%- if not loop.last %} || {% endif -%}
    {%- endfor -%}
{%- endmacro %}
