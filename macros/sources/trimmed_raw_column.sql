{#- A raw column before it is cast: text without the blanks around it, other types as they are, and
    a null of the right type for a column that the raw table lacks.

    name: column;  kind: see input_contract;  class: see type_class, none for an absent column
    Example: trimmed_raw_column('plan', 'label', 'text') -> the trimmed plan. -#}
{% macro trimmed_raw_column(name, kind, class) -%}
    {%- set as_text = name -%}
    {%- if class != 'text' -%}
        {%- set as_text = 'cast(' ~ name ~ ' as ' ~ dbt.type_string() ~ ')' -%}
    {%- endif -%}
    {%- if class is none -%}
        cast(null as {{ customer_health.contract_type(kind) }})
    {%- elif kind == 'text' -%}
        case when {{ customer_health.trimmed(as_text) }} is not null then {{ as_text }} end
    {%- elif kind == 'code' -%}
        lower({{ customer_health.trimmed(as_text) }})
    {%- elif kind == 'currency' -%}
        upper({{ customer_health.trimmed(as_text) }})
    {%- elif kind in ['id', 'label'] and class != 'text' -%}
        {{ as_text }}
    {%- elif class == 'text' -%}
        {{ customer_health.trimmed(name) }}
    {%- else -%}
        {{ name }}
    {%- endif -%}
{%- endmacro %}
