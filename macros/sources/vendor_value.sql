{#- The first of some columns that a vendor's table has, trimmed and cast; a null of the type where it
    has none of them.

    place: the table, for messages;  there: dict of vendor_columns
    names: list of column names, best first; `document.key` for a key of a JSON document: where no
    column is there, the first of the keys that a document has
    kind: as in input_contract, or json;  is_required: whether none of them is an error
    Example: vendor_value('zendesk table ticket', there, ['created_at'], 'timestamp', true). -#}
{% macro vendor_value(place, there, names, kind, is_required) -%}
    {%- set state = namespace(value=none, class=none, type=none) -%}
    {%- set keys = [] -%}
    {%- for name in names if state.value is none -%}
        {%- set head = (name | lower).split('.')[0] -%}
        {%- if name | lower in there -%}
            {%- set column = there[name | lower] -%}
            {%- set state.value = adapter.quote(column['name']) -%}
            {%- set state.class = column['class'] -%}
            {%- set state.type = column['type'] -%}
        {%- elif head in there and '.' in name -%}
            {%- do keys.append(customer_health.json_text(
                adapter.quote(there[head]['name']), name[head | length + 1:]
            )) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if state.value is none and keys -%}
        {%- set state.value = keys[0] if keys | length == 1 else 'coalesce(' ~ keys | join(', ') ~ ')' -%}
        {%- set state.class = 'text' -%}
        {%- set state.type = 'text' -%}
    {%- endif -%}
    {%- if execute and there and state.value is none and is_required -%}
        {%- set nearest = customer_health.nearest_name(names[0] | lower, there.keys() | list) -%}
        {{ exceptions.raise_compiler_error(
            place ~ ' has no column ' ~ names | join(' or ')
            ~ (' (nearest: ' ~ nearest ~ ')' if nearest else '')
            ~ ': name it in customer_health__connector_columns'
        ) }}
    {%- endif -%}
    {%- if kind == 'json' -%}
        {{ state.value or 'cast(null as ' ~ dbt.type_string() ~ ')' }}
    {%- elif kind == 'timestamp' and state.class in ['integer', 'number'] -%}
        {{ customer_health.epoch_to_timestamp(state.value) }}
    {%- elif kind == 'timestamp' and state.class == 'text' -%}
        {%- set text = customer_health.trimmed(state.value) -%}
        case
            when {{ customer_health.matches(text, '^[0-9]{9,10}([0-9]{3})?$') }}
                then {{ customer_health.epoch_to_timestamp(customer_health.parse_bigint(text)) }}
            else {{ customer_health.parse_timestamp(
                text, customer_health.naive_timezone() or 'UTC'
            ) }}
        end
    {%- else -%}
        {{ customer_health.cast_raw_column(
            customer_health.trimmed_raw_column(state.value, kind, state.class),
            kind, state.class, state.type
        ) }}
    {%- endif -%}
{%- endmacro %}
