{#- The first day of usage that this run reads again, as an ISO date, or none for all of it: the
    lookback before the last date that was built, or the day before a backfill begins. Events
    before it were reduced by an earlier run and are not read again. The same answer all through a
    run, since int_health__built_dates is the last table that a run writes.

    Example: last built 2026-06-30, lookback 3 -> 2026-06-27. -#}
{% macro usage_rebuild_from() -%}
    {%- set built_dates = customer_health.built_dates_relation() -%}
    {%- if built_dates is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set result = run_query('select max(as_of_date) as last_date from ' ~ built_dates) -%}
    {%- set last_date = result.columns[0].values()[0] -%}
    {%- if last_date is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set lookback = modules.datetime.timedelta(days=customer_health.integer_var('lookback_days')) -%}
    {%- set rebuild_from = (
        modules.datetime.datetime.strptime((last_date | string)[:10], '%Y-%m-%d') - lookback
    ).strftime('%Y-%m-%d') -%}
    {%- set backfill = var('customer_health__backfill_from', none) -%}
    {%- if backfill is not none -%}
        {%- set backfill_day = (
            modules.datetime.datetime.strptime(
                customer_health.iso_date(backfill, 'customer_health__backfill_from'), '%Y-%m-%d'
            ) - modules.datetime.timedelta(days=1)
        ).strftime('%Y-%m-%d') -%}
        {%- set rebuild_from = [rebuild_from, backfill_day] | min -%}
    {%- endif -%}
    {{ return(rebuild_from) }}
{%- endmacro %}
