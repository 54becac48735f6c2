-- Satisfaction is asked in surveys and after tickets; both count alike, on a scale of 0-10.
with

survey_responses as (select * from {{ ref('int_health__valid_survey_responses') }}),

tickets as (select * from {{ ref('int_health__valid_support_tickets') }}),

survey_answers as (
    select
        account_id,
        responded_at as answered_at,
        10 * {{ customer_health.safe_divide('score - scale_min', 'scale_max - scale_min') }}
            as answer_score
    from survey_responses
    where survey_type = 'csat'
),

ticket_answers as (
    select
        account_id,
        coalesce(solved_at, updated_at) as answered_at,
        10 * {{ customer_health.safe_divide('csat_score - 1', 'csat_scale_max - 1') }}
            as answer_score
    from tickets
    where csat_score is not null
),

final as (
    select
        account_id,
        answered_at,
        answer_score
    from survey_answers
    where answer_score is not null

    union all

    select
        account_id,
        answered_at,
        answer_score
    from ticket_answers
    where answer_score is not null
)

select * from final
