{{ config(enabled=customer_health.is_connected('qualtrics', 'survey_responses')) }}

with

responses as (
    {{ customer_health.vendor_rows('qualtrics', 'survey_response', [
        ['response_id', 'id', 'required', ['id', 'response_id']],
        ['survey_id', 'id', 'optional'],
        ['email', 'label', 'optional', ['recipient_email', 'recipientemail']],
        ['is_finished', 'boolean', 'optional', ['finished', 'is_finished']],
        ['status', 'code', 'optional'],
        ['responded_at', 'timestamp', 'required', ['recorded_date', 'end_date']],
    ], fills='survey_responses') | indent(4) }}
),

answers as (
    {{ customer_health.vendor_rows('qualtrics', 'question_response', [
        ['response_id', 'id', 'required', ['survey_response_id', 'response_id']],
        ['question_id', 'id', 'required'],
        ['value', 'double', 'required', ['value', 'response']],
    ]) | indent(4) }}
),

questions as (
    {{ customer_health.vendor_rows('qualtrics', 'question', [
        ['id', 'id', 'required'],
        ['survey_id', 'id', 'optional'],
        ['selector', 'code', 'optional', ['selector', 'question_type_selector', 'sub_selector',
            'question_selector']],
        ['question_type', 'code', 'required'],
    ], keep_deleted=true) | indent(4) }}
),

details as (
    {{ customer_health.vendor_rows('qualtrics', 'survey_embedded_data', [
        ['response_id', 'id', 'required', ['response_id', 'survey_response_id']],
        ['name', 'code', 'required', ['key', 'name']],
        ['value', 'label', 'optional'],
    ], may_lack=true) | indent(4) }}
),

-- the same id names other questions in other surveys
nps_questions as (
    select distinct
        id,
        survey_id
    from questions
    where
        question_type = 'nps'
        or selector = 'nps'
),

-- the survey was told whose the person is
accounts as (
    select
        response_id,
        max(value) as account_id
    from details
    where name in ('account_id', 'accountid', 'company_id', 'companyid')
    group by 1
),

final as (
    select
        responses.response_id || '|' || answers.question_id as response_id,
        {{ customer_health.account_key('accounts.account_id', 'responses.email') }} as account_id,
        'nps' as survey_type,
        answers.value as score,
        0 as scale_min,
        10 as scale_max,
        responses.responded_at,
        responses.loaded_at
    from responses
    inner join answers
        on responses.response_id = answers.response_id
    inner join nps_questions
        on
            answers.question_id = nps_questions.id
            and coalesce(nps_questions.survey_id, responses.survey_id, '')
            = coalesce(responses.survey_id, nps_questions.survey_id, '')
    left join accounts
        on responses.response_id = accounts.response_id
    where
        answers.value is not null
        and coalesce(responses.is_finished, true)
        -- answers of a preview or test are nobody's
        and coalesce(responses.status, 'imported') not in ('survey preview', 'survey test')
)

select * from final
