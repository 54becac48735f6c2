{{ config(enabled=customer_health.is_connected('pendo', 'product_events')) }}
{% set kinds = {
    'feature': ['feature_event', 'feature_id', 'feature_history'],
    'page': ['page_event', 'page_id', 'page_history'],
    'track': ['track_event', 'track_type_id', 'track_type_history'],
} %}

with

{% for kind, (events, id, names) in kinds.items() %}
{{ kind }}_events as (
    {{ customer_health.vendor_rows('pendo', events, [
        ['account_id', 'id', 'optional'],
        ['visitor_id', 'id', 'required'],
        ['object_id', 'id', 'required', [id]],
        ['app_id', 'id', 'optional'],
        ['parameter', 'text', 'optional', ['param_parameter']],
        ['occurred_at', 'timestamp', 'required', ['timestamp']],
        ['event_count', 'integer', 'optional', ['num_events']],
        ['minute_count', 'double', 'optional', ['num_minutes']],
    ], fills='product_events', may_lack=kind == 'track') | indent(4) }}
),

{{ kind }}_versions as (
    {{ customer_health.vendor_rows('pendo', names, [
        ['id', 'id', 'required'],
        ['name', 'label', 'optional'],
        ['last_updated_at', 'timestamp', 'optional'],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

{{ kind }}_names as (
    select
        id,
        name,
        row_number() over (partition by id order by last_updated_at desc nulls last, name asc)
            as position
    from {{ kind }}_versions
    where name is not null
),

{% endfor %}
-- a row of Pendo is the sum of a visitor's hour; the same name of a page and a feature differ
named_events as (
    {% for kind in kinds %}
    select
        '{{ kind }}' as kind,
        '{{ kind }}: ' || coalesce({{ kind }}_names.name, {{ kind }}_events.object_id)
            as event_name,
        {{ kind }}_events.account_id,
        {{ kind }}_events.visitor_id,
        {{ kind }}_events.object_id,
        {{ kind }}_events.app_id,
        {{ kind }}_events.parameter,
        {{ kind }}_events.occurred_at,
        {{ kind }}_events.minute_count,
        {{ kind }}_events.loaded_at
    from {{ kind }}_events
    left join {{ kind }}_names
        on
            {{ kind }}_events.object_id = {{ kind }}_names.id
            and {{ kind }}_names.position = 1

    {% if not loop.last %}
    union all

    {% endif %}
    {% endfor %}
),

final as (
    select
        kind
        || '|' || object_id
        || '|' || coalesce(account_id, '')
        || '|' || visitor_id
        || '|' || coalesce(app_id, '')
        || '|' || coalesce(parameter, '')
        || '|' || cast(occurred_at as {{ dbt.type_string() }}) as event_id,
        account_id,
        visitor_id as user_id,
        event_name,
        occurred_at,
        minute_count * 60 as duration_seconds,
        loaded_at
    from named_events
)

select * from final
