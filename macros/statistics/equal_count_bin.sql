{#- The bin, from 1 on, of a value among bins of equal numbers of rows. Rows of the same value are
    together, in the bin of the one in their middle: bins differ in size where values repeat.

    before: SQL of the rows with a smaller value;  count: SQL of the rows with this value
    total: SQL of all rows;  bins: how many bins
    Example: equal_count_bin('15', '1', '20') -> 8;  equal_count_bin('0', '20', '20') -> 5. -#}
{% macro equal_count_bin(before, count, total, bins=10) -%}
    cast(
        1 + floor({{ customer_health.safe_divide(
            bins ~ ' * (2 * ' ~ before ~ ' + ' ~ count ~ ' - 1)', '2 * ' ~ total
        ) }}) as bigint
    )
{%- endmacro %}
