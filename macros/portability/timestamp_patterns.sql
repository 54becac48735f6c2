{#- Regular expressions of the texts that are read as dates and instants. The days of the months are
    spelled out, so that engines without a safe cast never meet the 31st of June.

    returns: dict with date, naive (without offset) and zoned
    Example: timestamp_patterns()['date'] matches 2024-02-29 and not 2024-13-01. -#}
{% macro timestamp_patterns() -%}
    {%- set calendar =
        '([0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])'
        ~ '|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)'
        ~ '|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])'
        ~ '|[0-9]{2}([02468][048]|[13579][26])-02-29)'
    -%}
    {%- set clock = '[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?' -%}
    {%- set zone = ' ?(Z|z|UTC|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)' -%}
    {{ return({
        'date': '^' ~ calendar ~ '$',
        'naive': '^' ~ calendar ~ clock ~ '$',
        'zoned': '^' ~ calendar ~ clock ~ zone ~ '$',
        'any': '^' ~ calendar ~ '(' ~ clock ~ '(' ~ zone ~ ')?)?$',
    }) }}
{%- endmacro %}
