{#- Refuses an as_of_date that cannot be scored: one that is no date of the spine, or one before the
    last date that was built, since history is only ever rebuilt on purpose. -#}
{% macro check_as_of_date() -%}
    {%- set as_of = modules.re.search('[0-9]{4}-[0-9]{2}-[0-9]{2}', customer_health.as_of_date()).group() -%}
    {%- set daily_from = customer_health.iso_date(
        var('customer_health__daily_from'), 'customer_health__daily_from'
    ) -%}
    {%- set history_from = customer_health.iso_date(
        var('customer_health__history_from'), 'customer_health__history_from'
    ) -%}
    {%- set weekday = modules.datetime.datetime.strptime(as_of, '%Y-%m-%d').isoweekday() -%}
    {%- if as_of < history_from -%}
        {{ exceptions.raise_compiler_error(
            'as_of_date ' ~ as_of ~ ' is before customer_health__history_from ' ~ history_from
        ) }}
    {%- endif -%}
    {%- if as_of < daily_from and weekday != 7 -%}
        {{ exceptions.raise_compiler_error(
            'as_of_date ' ~ as_of ~ ' is no date of the spine: before customer_health__daily_from '
            ~ daily_from ~ ' there are only Sundays'
        ) }}
    {%- endif -%}
    {%- set built_dates = customer_health.built_dates_relation() -%}
    {%- if built_dates is not none -%}
        {%- set last_date = (
            run_query('select max(as_of_date) from ' ~ built_dates).columns[0].values()[0] | string
        )[:10] -%}
        {%- set backfill = var('customer_health__backfill_from', none) -%}
        {%- if as_of < last_date and (backfill is none or backfill | string > as_of) -%}
            {{ exceptions.raise_compiler_error(
                'as_of_date ' ~ as_of ~ ' is before ' ~ last_date ~ ', which is already scored;'
                ~ ' set customer_health__backfill_from to go back (later dates are taken out)'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
