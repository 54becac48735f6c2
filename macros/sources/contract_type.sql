{#- The SQL type of a kind of column of the input contract.

    kind: see input_contract
    Example: contract_type('currency') -> the text type of the engine. -#}
{% macro contract_type(kind) -%}
    {%- if kind in ['id', 'text', 'label', 'code', 'currency'] -%}
        {{ return(dbt.type_string()) }}
    {%- elif kind == 'timestamp' -%}
        {{ return(dbt.type_timestamp()) }}
    {%- elif kind == 'double' -%}
        {{ return(customer_health.type_double() | trim) }}
    {%- elif kind == 'integer' -%}
        {{ return(dbt.type_bigint()) }}
    {%- elif kind == 'boolean' -%}
        {{ return(dbt.type_boolean()) }}
    {%- elif kind == 'date' -%}
        {{ return('date') }}
    {%- endif -%}
    {{ exceptions.raise_compiler_error("contract_type: no kind '" ~ kind ~ "'") }}
{%- endmacro %}
