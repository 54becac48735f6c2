{#- The select of a staging model: the raw table renamed to nothing, cast safely, with a reason on
    the rows that cannot be used. No row is dropped here.

    - switched off (customer_health__using_<table>: false): no row, and no read of the source
    - a column that may be absent and is: null, in its type
    - any other column that is absent: an error that names it and the nearest name there is
    - rejection_reason: null_key, uncastable, naive_timestamp, not_finite, missing_value or null;
      unmatched_account, ambiguous_account where a vendor's account is looked up
    - where a connector is chosen for the domain, its model is read in place of the raw table

    table: name in the input contract
    Example: stage_raw_table('crm_accounts') in models/staging/crm/stg_health__crm_accounts.sql. -#}
{% macro stage_raw_table(table) -%}
    {%- set columns = customer_health.input_contract()[table]['columns'] -%}
    {%- if not customer_health.using_table(table) -%}
        {{ return(customer_health.no_rows(columns)) }}
    {%- endif -%}
    {%- set relation = customer_health.raw_table(table) -%}
    {%- set is_mapped = customer_health.is_mapped_table(table) -%}
    {%- set types = customer_health.raw_column_types(relation) -%}
    {%- do customer_health.check_raw_columns(table, columns, types) -%}
    {%- set classes = {} -%}
    {%- for name, type in types.items() -%}
        {%- do classes.update({name: customer_health.type_class(type)}) -%}
    {%- endfor -%}
with

raw_rows as (select * from {{ relation }}),

{% if is_mapped -%}
account_identity as (select * from {{ ref('int_health__account_identity') }}),

{% endif -%}
-- blanks around a text are no part of it, and a blank text is no value
trimmed_rows as (
    select
        {%- for name, kind, need in columns %}
        {{ customer_health.trimmed_raw_column(name, kind, classes.get(name)) }} as {{ name }},
        {%- endfor %}
        {{ customer_health.raw_loaded_at(types, classes) }} as loaded_at
    from raw_rows
),

{% if is_mapped -%}
-- the vendor's account becomes that of the CRM; one that is not found stays, to be told
account_rows as (
    select
        {%- for name, kind, need in columns %}
        {%- if name == 'account_id' %}
        coalesce(account_identity.account_id, trimmed_rows.account_id) as account_id,
        {%- else %}
        trimmed_rows.{{ name }},
        {%- endif %}
        {%- endfor %}
        account_identity.link_state,
        trimmed_rows.loaded_at
    from trimmed_rows
    left join account_identity
        on
            trimmed_rows.account_id = account_identity.source_account_id
            and account_identity.source_system = '{{ customer_health.connector_of(table) }}'
),

{% endif -%}
cast_rows as (
    select
        {%- for name, kind, need in columns %}
        {%- set cast_column = customer_health.cast_raw_column(
            name, kind, classes.get(name), types.get(name)
        ) %}
        {{ cast_column }}{% if cast_column != name %} as {{ name }}{% endif %},
        {%- if customer_health.has_raw_copy(kind, classes.get(name)) %}
        {{ name }} as raw_{{ name }},
        {%- endif %}
        {%- endfor %}
        {%- if is_mapped %}
        link_state,
        {%- endif %}
        loaded_at
    from {{ 'account_rows' if is_mapped else 'trimmed_rows' }}
),

final as (
    select
        {%- for name, kind, need in columns %}
        {{ name }},
        {%- endfor %}
        loaded_at,
        cast(
            case
                {%- if is_mapped %}
                when link_state = 'conflict' then 'ambiguous_account'
                when coalesce(link_state, 'unmatched') = 'unmatched' then 'unmatched_account'
                {%- endif %}
                {%- for name, kind, need in columns if need == 'key' %}
                {%- if not customer_health.has_raw_copy(kind, classes.get(name)) %}
                when {{ name }} is null then 'null_key'
                {%- endif %}
                {%- endfor %}
                {%- for name, kind, need in columns %}
                {{- customer_health.cast_checks(name, kind, classes.get(name)) }}
                {%- endfor %}
                {%- for name, kind, need in columns if need == 'required' %}
                when {{ name }} is null then 'missing_value'
                {%- endfor %}
            end as {{ dbt.type_string() }}
        ) as rejection_reason
    from cast_rows
)

select * from final
{%- endmacro %}
