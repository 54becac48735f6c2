{#- CTEs that settle rows with the same key, from a CTE `checked` with the columns of the table,
    row_key, loaded_at and rejection_reason. Only usable rows take part, and only those whose key
    occurs more than once are compared at all: grouping finds them, at half the cost of numbering.

    Identical rows become one, with copy_count. Of different ones the contract's `wins` decides,
    then a hash of the row, so that the order of the rows never matters; the others are rejected.
    loaded_at is the first time that the row was loaded.

    Ends in the CTE repeated_rows: the columns, row_key, loaded_at, copy_count, rejection_reason.
    table: name in the input contract
    keys: CTE with the row_key of every row, usable or not, to look for repeated keys in where
        `checked` should not be read twice
    Example: {{ customer_health.repeated_rows('product_events') }}, final as (…). -#}
{% macro repeated_rows(table, keys='checked') -%}
    {%- set contract = customer_health.input_contract()[table] -%}
repeated_keys as (
    select row_key
    from {{ keys }}
    {%- if keys == 'checked' %}
    where rejection_reason is null
    {%- endif %}
    group by row_key
    having count(*) > 1
),

distinct_rows as (
    select
        {%- for name, kind, need in contract['columns'] %}
        checked.{{ name }},
        {%- endfor %}
        checked.row_key,
        min(checked.loaded_at) as first_loaded_at,
        max(checked.loaded_at) as last_loaded_at,
        count(*) as copy_count
    from checked
    inner join repeated_keys
        on checked.row_key = repeated_keys.row_key
    where checked.rejection_reason is null
    group by
        {%- for name, kind, need in contract['columns'] %}
        checked.{{ name }},
        {%- endfor %}
        checked.row_key
),

ranked_rows as (
    select
        distinct_rows.*,
        row_number() over (
            partition by row_key
            order by
                {%- if contract['wins'] == 'updated' %}
                updated_at desc nulls last,
                {%- elif contract['wins'] == 'last' %}
                last_loaded_at desc nulls last,
                {%- else %}
                first_loaded_at asc nulls last,
                {%- endif %}
                {{ customer_health.row_hash(table) }}
                {%- for name, kind, need in contract['columns']
                    if kind not in ['id', 'text', 'label', 'code', 'currency'] %},
                {{ name }} asc nulls first
                {%- endfor %}
        ) as row_rank
    from distinct_rows
),

repeated_rows as (
    select
        {{ customer_health.contract_columns(table) | indent(8) }},
        row_key,
        first_loaded_at as loaded_at,
        cast(copy_count as {{ dbt.type_bigint() }}) as copy_count,
        cast(
            case when row_rank > 1 then 'conflicting_duplicate' end as {{ dbt.type_string() }}
        ) as rejection_reason
    from ranked_rows
)
{%- endmacro %}
