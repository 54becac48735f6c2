{#- What a raw column holds, by the name of its type: decides how it is cast.

    data_type: text, lower case
    returns: text, zoned (instant with zone), naive (instant without), date, boolean, integer,
        number or other
    Example: type_class('timestamp with time zone') -> zoned;  type_class('numeric(18,2)') -> number. -#}
{% macro type_class(data_type) -%}
    {%- set name = data_type | trim | lower -%}
    {%- if modules.re.match('^(varchar|character|char|bpchar|text|string|nvarchar|nchar|clob|enum|name)', name) -%}
        {{ return('text') }}
    {%- elif modules.re.match('^(timestamptz|timestamp_tz|timestamp_ltz|timestamp.*with time zone|timestamp.*with local)', name) -%}
        {{ return('zoned') }}
    {%- elif modules.re.match('^(timestamp|datetime)', name) -%}
        {{ return('naive') }}
    {%- elif name == 'date' -%}
        {{ return('date') }}
    {%- elif modules.re.match('^bool', name) -%}
        {{ return('boolean') }}
    {%- elif modules.re.match('^(u?(tiny|small|big|huge)?int(eger)?[0-9]*|long|short|byte)$', name) -%}
        {{ return('integer') }}
    {%- elif modules.re.match('^(double|float|real|decimal|numeric|number|bignumeric)', name) -%}
        {{ return('number') }}
    {%- endif -%}
    {{ return('other') }}
{%- endmacro %}
