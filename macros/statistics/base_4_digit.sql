{#- One digit of a whole number in base 4.

    number: SQL of a bigint, 0 or more;  digit_value: SQL of 4 to the power of the place, as bigint
    Example: base_4_digit('27', '4') -> 2, since 27 is 123 in base 4. -#}
{% macro base_4_digit(number, digit_value) -%}
    mod(
        cast(({{ number }} - mod({{ number }}, {{ digit_value }})) / {{ digit_value }} as bigint), 4
    )
{%- endmacro %}
