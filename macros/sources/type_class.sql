{#- What a raw column holds, by the name of its type: decides how it is cast.

    data_type: text, lower case
    returns: text, zoned (instant with zone), naive (instant without), date, boolean, integer,
        number or other
    Example: type_class('timestamp with time zone') -> zoned;
        type_class('numeric(18,2)') -> number. -#}
{% macro type_class(data_type) -%}
    {%- set patterns = {
        'text': '^(varchar|char|bpchar|text|string|nvarchar|nchar|clob|enum|name)',
        'zoned': '^timestamp(tz|_tz|_ltz|.*with time zone|.*with local)',
        'naive': '^(timestamp|datetime)',
        'date': '^date$',
        'boolean': '^bool',
        'integer': '^(u?(tiny|small|big|huge)?int(eger)?[0-9]*|long|short|byte)$',
        'number': '^(double|float|real|decimal|numeric|number|bignumeric)',
    } -%}
    {%- for class, pattern in patterns.items() -%}
        {%- if modules.re.match(pattern, data_type | trim | lower) -%}
            {{ return(class) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return('other') }}
{%- endmacro %}
