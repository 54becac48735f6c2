{{ config(materialized='table') }}

with

responses as (select * from {{ ref('stg_health__survey_responses') }}),

account_starts as (select * from {{ ref('int_health__account_starts') }}),

checked as (
    select
        {{ customer_health.contract_columns('survey_responses', 'responses') | indent(8) }},
        {{ customer_health.row_key('survey_responses', 'responses') }} as row_key,
        responses.loaded_at,
        case
            {{ customer_health.value_checks('survey_responses', 'responses') }}
            when account_starts.account_id is null then 'orphan'
            {{ customer_health.account_start_check('responses', 'responded_at') }}
            {{- customer_health.moment_checks('responses', ['responded_at']) }}
            when
                responses.scale_min >= responses.scale_max
                or responses.score < responses.scale_min
                or responses.score > responses.scale_max
                then 'out_of_range'
        end as rejection_reason
    from responses
    left join account_starts
        on responses.account_id = account_starts.account_id
),

{{ customer_health.settled_rows('survey_responses') }}

select * from final
