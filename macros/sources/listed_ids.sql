{#- A list that a vendor keeps in one text, as one row per entry. Only the first entries are read,
    since engines have no common way to split a text into rows. Of `id:instant` the id is read.

    rows: the CTE;  key: column that is kept beside an entry;  list: column with the text
    separator: between the entries;  most: how many entries are read
    returns: select of key and listed_id
    Example: listed_ids('companies', 'id', 'merged_ids') on (7, '1;2') -> (7, '1'), (7, '2'). -#}
{% macro listed_ids(rows, key, list, separator=';', most=20) -%}
    {%- for position in range(1, most + 1) %}
    {%- set entry = dbt.split_part(list, "'" ~ separator ~ "'", position) | trim -%}
    {%- set listed_id = 'nullif(trim(' ~ dbt.split_part(entry, "':'", 1) | trim ~ "), '')" -%}
    select
        {{ key }},
        {{ listed_id }} as listed_id
    from {{ rows }}
    where {{ listed_id }} is not null
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}
{%- endmacro %}
