{#- A polynomial by Horner's rule.

    coefficients: list of numbers as text, that of the highest power first;  variable: SQL of a number
    Example: polynomial(['2e0', '3e0', '1e0'], 'x') -> ((2e0 * x + 3e0) * x + 1e0). -#}
{% macro polynomial(coefficients, variable) -%}
    {%- set built = namespace(sql=coefficients[0]) -%}
    {%- for coefficient in coefficients[1:] -%}
        {%- set built.sql = '(' ~ built.sql ~ ' * ' ~ variable ~ ' + ' ~ coefficient ~ ')' -%}
    {%- endfor -%}
    {{ return(built.sql) }}
{%- endmacro %}
