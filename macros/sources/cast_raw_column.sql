{#- A trimmed raw column in its type of the input contract; null where the cast is impossible. Typed
    columns that need no cast stay bare, so that a filter on them reaches the scan of the source.

    name: column;  kind: see input_contract;  class: see type_class, none for an absent column;
    type: the raw type, lower case
    Example: cast_raw_column('issued_at', 'timestamp', 'date', 'date')
        -> cast(issued_at as timestamp). -#}
{% macro cast_raw_column(name, kind, class, type) -%}
    {%- set target_type = customer_health.contract_type(kind) -%}
    {%- if class is none or kind in ['id', 'text', 'label', 'code', 'currency'] -%}
        {{ name }}
    {%- elif kind == 'timestamp' and class == 'text' -%}
        {{ customer_health.parse_timestamp(name, customer_health.naive_timezone()) }}
    {%- elif kind == 'timestamp' and class == 'zoned' -%}
        {{ customer_health.zoned_to_utc(name) }}
    {%- elif kind == 'timestamp' and class == 'naive' and type == target_type | lower -%}
        {{ name }}
    {%- elif kind == 'timestamp' and class in ['naive', 'date'] -%}
        cast({{ name }} as {{ target_type }})
    {%- elif kind == 'date' and class == 'text' -%}
        {{ customer_health.parse_date(name) }}
    {%- elif kind == 'date' and class == 'date' -%}
        {{ name }}
    {%- elif kind == 'date' and class == 'naive' -%}
        cast({{ name }} as date)
    {%- elif kind == 'date' and class == 'zoned' -%}
        cast({{ customer_health.zoned_to_utc(name) }} as date)
    {%- elif kind == 'double' and class == 'text' -%}
        {{ customer_health.parse_double(name) }}
    {%- elif kind == 'double' and class in ['integer', 'number'] -%}
        cast({{ name }} as {{ target_type }})
    {%- elif kind == 'integer' and class == 'text' -%}
        {{ customer_health.parse_bigint(name) }}
    {%- elif kind == 'integer' and class in ['integer', 'number'] -%}
        case
            when abs({{ name }}) < 1000000000000000 and {{ name }} = floor({{ name }})
                then cast({{ name }} as {{ target_type }})
        end
    {%- elif kind == 'boolean' and class == 'text' -%}
        {{ customer_health.parse_boolean(name) }}
    {%- elif kind == 'boolean' and class == 'boolean' -%}
        {{ name }}
    {%- elif kind == 'boolean' and class in ['integer', 'number'] -%}
        case when {{ name }} = 1 then true when {{ name }} = 0 then false end
    {%- else -%}
        cast(null as {{ target_type }})
    {%- endif -%}
{%- endmacro %}
