{#- The select that a connector starts from: a table that a loader landed, in columns and types that
    can be relied on.

    - a column that the loader left out and that is optional: null, in its type
    - any other column that is absent: an error that names it and the nearest name there is
    - rows that the loader or the vendor marked as deleted are left out, unless keep_deleted
    - so are versions that a newer one has replaced (`_fivetran_active` false), unless the model
      reads that column itself
    - loaded_at: when the loader wrote the row (UTC)
    - whole numbers in a column of kind timestamp, also as text, are seconds or milliseconds since
      1970, and text without an offset is in UTC, as loaders write it

    vendor: as in connectors();  table: name at the vendor
    columns: list of [name, kind, need, names], where
        kind   as in input_contract, or json (a document, as it is)
        need   required or optional
        names  what loaders call the column, best first; left out: as `name`. `document.key` is a
               key of a column that holds JSON.
    fills: raw table whose columns a deployment may take from elsewhere
           (var customer_health__connector_columns), or none
    may_lack: whether the table itself may be absent: then there is no row
    keep_deleted: whether deleted rows stay, with is_deleted
    Example: organizations as ({{ customer_health.vendor_rows('zendesk', 'organization', [
        ['id', 'id', 'required'], ['external_id', 'id', 'optional'],
    ]) }}). -#}
{% macro vendor_rows(vendor, table, columns, fills=none, may_lack=false, keep_deleted=false) -%}
    {%- set relation = source('customer_health_' ~ vendor, table) -%}
    {%- set there = customer_health.vendor_columns(relation) -%}
    {%- set place = vendor ~ ' table ' ~ table -%}
    {%- if execute and not there and not may_lack -%}
        {{ exceptions.raise_compiler_error(
            place ~ ' does not exist in schema ' ~ relation.schema
            ~ ': load it, or name its schema in customer_health__connector_schemas'
            ~ (
                ', or set customer_health__using_' ~ fills ~ ': false'
                if fills is not none and fills != 'crm_accounts' else ''
            )
        ) }}
    {%- endif -%}
    {%- set mapped = customer_health.mapped_columns(fills) -%}
    {%- set conditions = [] -%}
    {%- set names_read = columns | selectattr(3, 'defined') | map(attribute=3) | sum(start=[]) -%}
    {%- if '_fivetran_active' in there and '_fivetran_active' not in names_read -%}
        {%- do conditions.append(
            'coalesce(' ~ customer_health.vendor_value(
                place, there, ['_fivetran_active'], 'boolean', false
            ) | trim ~ ', true)'
        ) -%}
    {%- endif -%}
    select
        {%- for column in columns %}
        {%- set own_name = mapped.get(column[0]) %}
        {%- set names = [own_name] if own_name else (column[3] if column | length > 3 else [column[0]]) %}
        {%- set is_required = own_name is not none or column[2] == 'required' %}
        {{ customer_health.vendor_value(place, there, names, column[1], is_required) }}
            as {{ column[0] }},
        {%- endfor %}
        {%- set deletion = customer_health.vendor_deletion(there) %}
        {%- if keep_deleted %}
        {{ deletion or 'false' }} as is_deleted,
        {%- endif %}
        {{ customer_health.vendor_value(
            place, there,
            ['_fivetran_synced', '_airbyte_extracted_at', '_sdc_batched_at', 'loaded_at'],
            'timestamp', false
        ) }} as loaded_at
    {%- if there %}
    from {{ relation }}
    {%- if deletion and not keep_deleted %}
        {%- do conditions.append('not ' ~ deletion) %}
    {%- endif %}
    {%- if conditions %}
    where {{ conditions | join(' and ') }}
    {%- endif %}
    {%- else %}
    from (select 1 as absent) as absent_table
    where 1 = 0
    {%- endif %}
{%- endmacro %}
