{#- The text of a valid calendar date, or an error that names the var.

    value: text or date;  name: the var, for the message
    Example: iso_date('2026-05-01', 'x') -> 2026-05-01;  '2026-02-30' -> error. -#}
{% macro iso_date(value, name) -%}
    {%- set text = value | string | trim -%}
    {%- if not modules.re.match('^[0-9]{4}-[0-9]{2}-[0-9]{2}$', text) -%}
        {{ exceptions.raise_compiler_error(name ~ ": '" ~ text[:40] ~ "' is no date, write it as 2026-05-01") }}
    {%- endif -%}
    {%- set year = text[0:4] | int -%}
    {%- set month = text[5:7] | int -%}
    {%- set day = text[8:10] | int -%}
    {%- set is_leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 -%}
    {%- set month_lengths = [31, 29 if is_leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] -%}
    {%- if year < 1970 or month < 1 or month > 12 or day < 1 or day > month_lengths[month - 1] -%}
        {{ exceptions.raise_compiler_error(name ~ ": '" ~ text ~ "' is no day of the calendar after 1970") }}
    {%- endif -%}
    {{ return(text) }}
{%- endmacro %}
