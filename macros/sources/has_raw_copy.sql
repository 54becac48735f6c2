{#- Whether a column can lose its value in the cast, so that the raw value has to stay beside it to
    tell a bad value from none.

    kind: see input_contract;  class: see type_class, none for an absent column
    Example: has_raw_copy('timestamp', 'text') -> true;
        has_raw_copy('timestamp', 'naive') -> false. -#}
{% macro has_raw_copy(kind, class) -%}
    {%- if class is none or kind in ['id', 'text', 'label', 'code', 'currency'] -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set lossless = {
        'timestamp': ['zoned', 'naive', 'date'],
        'date': ['date', 'naive', 'zoned'],
        'double': ['integer', 'number'],
        'integer': [],
        'boolean': ['boolean'],
    } -%}
    {{ return(class not in lossless[kind]) }}
{%- endmacro %}
