{{ config(enabled=customer_health.is_connected('delighted', 'survey_responses')) }}

with

responses as (
    {{ customer_health.vendor_rows('delighted', 'response', [
        ['response_id', 'id', 'required', ['id']],
        ['person_id', 'id', 'optional', ['person_id', 'person']],
        ['account_id', 'id', 'optional', customer_health.link_columns('delighted', [
            'person_properties.account_id', 'person_properties.company_id',
        ])],
        ['survey_type', 'code', 'required'],
        ['score', 'double', 'required'],
        ['responded_at', 'timestamp', 'required', ['created_at']],
    ], fills='survey_responses') | indent(4) }}
),

people as (
    {{ customer_health.vendor_rows('delighted', 'person', [
        ['id', 'id', 'required'],
        ['email', 'label', 'optional'],
    ], may_lack=true, keep_deleted=true) | indent(4) }}
),

-- thumbs, smileys and product-market fit are none of the three kinds that are scored
scored_responses as (
    select
        response_id,
        person_id,
        account_id,
        score,
        responded_at,
        loaded_at,
        case
            when survey_type like 'nps%' then 'nps'
            when survey_type = 'ces7' then 'ces'
            else survey_type
        end as survey_type,
        case when survey_type like 'nps%' then 0 else 1 end as scale_min,
        case when survey_type like 'nps%' then 10 when survey_type = 'ces7' then 7 else 5 end
            as scale_max
    from responses
    where
        survey_type like 'nps%'
        or survey_type in ('csat', 'ces', 'ces7')
),

final as (
    select
        scored_responses.response_id,
        scored_responses.survey_type,
        scored_responses.score,
        scored_responses.scale_min,
        scored_responses.scale_max,
        scored_responses.responded_at,
        scored_responses.loaded_at,
        {{ customer_health.account_key('scored_responses.account_id', 'people.email') }}
            as account_id
    from scored_responses
    left join people
        on scored_responses.person_id = people.id
)

select * from final
