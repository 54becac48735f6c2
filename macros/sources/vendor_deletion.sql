{#- The condition under which a row of a vendor's table counts as deleted; none where the table
    marks no deletion.

    there: dict of vendor_columns
    Example: a table with _fivetran_deleted -> coalesce("_fivetran_deleted", false). -#}
{% macro vendor_deletion(there) -%}
    {%- set marks = [] -%}
    {%- for name in [
        '_fivetran_deleted', '_ab_cdc_deleted_at', '_sdc_deleted_at', 'is_deleted', 'isdeleted',
        'archived',
    ] -%}
        {%- if name in there -%}
            {%- set column = there[name] -%}
            {%- set quoted = adapter.quote(column['name']) -%}
            {%- if name.endswith('_at') -%}
                {%- do marks.append(quoted ~ ' is not null') -%}
            {%- else -%}
                {%- do marks.append(
                    'coalesce(' ~ customer_health.cast_raw_column(
                        customer_health.trimmed_raw_column(quoted, 'boolean', column['class']),
                        'boolean', column['class'], column['type']
                    ) ~ ', false)'
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return('(' ~ marks | join(' or ') ~ ')' if marks else none) }}
{%- endmacro %}
