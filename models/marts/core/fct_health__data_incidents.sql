-- depends_on: {{ ref('int_health__build_dates') }}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('customer_health__allow_full_refresh', false),
    pre_hook="{{ customer_health.replace_built_dates() }}",
    tags=['customer_health_history']
) }}

with

data_incidents as (select * from {{ ref('int_health__data_incidents') }}),

metrics as (select * from {{ ref('metrics') }}),

final as (
    select
        data_incidents.as_of_date,
        data_incidents.scoring_version,
        data_incidents.metric_key,
        metrics.label as metric_label,
        data_incidents.segment,
        data_incidents.incident_kind,
        data_incidents.account_count,
        data_incidents.dropped_account_count,
        cast(
            {{ customer_health.safe_divide(
                'data_incidents.dropped_account_count', 'data_incidents.account_count'
            ) }} as {{ customer_health.type_double() }}
        ) as dropped_share,
        data_incidents.last_good_date
    from data_incidents
    inner join metrics
        on
            data_incidents.scoring_version = metrics.scoring_version
            and data_incidents.metric_key = metrics.metric_key
)

select * from final
