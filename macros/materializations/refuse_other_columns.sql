{#- Stops unless the model has the columns and types of its table, in any order.

    stored: list of columns of the table -#}
{% macro refuse_other_columns(stored) %}
    {%- set found = {} -%}
    {%- for column in adapter.get_column_schema_from_query(compiled_code) -%}
        {%- do found.update({column.name: column.dtype}) -%}
    {%- endfor -%}
    {%- set kept = {} -%}
    {%- for column in stored -%}
        {%- do kept.update({column.name: column.dtype}) -%}
    {%- endfor -%}
    {%- if found != kept -%}
        {%- set other = [] -%}
        {%- for name, type in found.items() if kept.get(name) != type -%}
            {%- do other.append(name ~ ' (' ~ type ~ ', stored: ' ~ kept.get(name, 'none') ~ ')') -%}
        {%- endfor -%}
        {%- for name in kept if name not in found -%}
            {%- do other.append(name ~ ' (none, stored: ' ~ kept[name] ~ ')') -%}
        {%- endfor -%}
        {%- do exceptions.raise_compiler_error(
            'the columns of ' ~ this ~ ' have changed: ' ~ other | join(', ')
            ~ '; build it anew with `customer-health run --full-rebuild`'
        ) -%}
    {%- endif -%}
{% endmacro %}
