-- The probability of churn comes from the fitted model of the version in force, or, as long as none
-- is fitted, from the shrunk historical rate of like accounts. It says which.
with

assignments as (select * from {{ ref('int_health__scorecard_assignments') }}),

scorecard_metrics as (select * from {{ ref('int_health__scorecard_metrics') }}),

spine as (select * from {{ ref('int_health__spine') }}),

scored_versions as (select * from {{ ref('int_health__scored_versions') }}),

metrics as (select * from {{ ref('metrics') }}),

churn_base_rates as (select * from {{ ref('churn_base_rates') }}),

churn_model as (select * from {{ ref('churn_model') }}),

usable_metric_scores as (select * from {{ ref('int_health__usable_metric_scores') }}),

accounts_to_score as (
    select
        assignments.account_id,
        assignments.as_of_date,
        assignments.scoring_version,
        assignments.scorecard_key,
        assignments.tenure_days,
        scorecard_metrics.category_key,
        scorecard_metrics.metric_key,
        scorecard_metrics.category_weight,
        scorecard_metrics.metric_weight,
        spine.segment,
        spine.plan,
        scored_versions.churn_model_version,
        metrics.prior_value,
        coalesce(metrics.prior_strength, 0) as prior_strength
    from assignments
    inner join scorecard_metrics
        on
            assignments.scoring_version = scorecard_metrics.scoring_version
            and assignments.scorecard_key = scorecard_metrics.scorecard_key
            and scorecard_metrics.metric_key = 'churn_probability'
    inner join spine
        on
            assignments.account_id = spine.account_id
            and assignments.as_of_date = spine.as_of_date
    inner join scored_versions
        on
            assignments.scoring_version = scored_versions.scoring_version
            and assignments.as_of_date = scored_versions.as_of_date
    inner join metrics
        on
            scorecard_metrics.scoring_version = metrics.scoring_version
            and scorecard_metrics.metric_key = metrics.metric_key
),

-- the row of the segment beats that of the plan, then `*`; then the largest tenure reached
ranked_rates as (
    select
        accounts_to_score.account_id,
        accounts_to_score.as_of_date,
        accounts_to_score.scoring_version,
        accounts_to_score.scorecard_key,
        churn_base_rates.churn_rate,
        churn_base_rates.account_count,
        row_number() over (
            partition by
                accounts_to_score.account_id,
                accounts_to_score.as_of_date,
                accounts_to_score.scoring_version,
                accounts_to_score.scorecard_key
            order by
                case
                    when churn_base_rates.segment = accounts_to_score.segment then 1
                    when churn_base_rates.segment = accounts_to_score.plan then 2
                    else 3
                end asc,
                churn_base_rates.tenure_days_from desc
        ) as rate_rank
    from accounts_to_score
    inner join churn_base_rates
        on
            accounts_to_score.scoring_version = churn_base_rates.scoring_version
            and accounts_to_score.tenure_days >= churn_base_rates.tenure_days_from
            and (
                churn_base_rates.segment = '*'
                or accounts_to_score.segment = churn_base_rates.segment
                or accounts_to_score.plan = churn_base_rates.segment
            )
),

base_rates as (
    select
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        churn_rate,
        account_count
    from ranked_rates
    where rate_rank = 1
),

-- a feature is a metric score; one that is missing takes its mean of the training, and adds nothing
model_terms as (
    select
        accounts_to_score.account_id,
        accounts_to_score.as_of_date,
        accounts_to_score.scoring_version,
        accounts_to_score.scorecard_key,
        max(churn_model.churner_count) as churner_count,
        {{ customer_health.exact_sum(
            'case'
            ~ " when churn_model.feature = 'intercept' then churn_model.coefficient"
            ~ ' else churn_model.coefficient * coalesce('
            ~ customer_health.safe_divide(
                'usable_metric_scores.metric_score - churn_model.mean',
                'churn_model.standard_deviation'
            )
            ~ ', 0) end'
        ) }} as log_odds
    from accounts_to_score
    inner join churn_model
        on
            accounts_to_score.scoring_version = churn_model.scoring_version
            and accounts_to_score.churn_model_version = churn_model.churn_model_version
    left join usable_metric_scores
        on
            accounts_to_score.account_id = usable_metric_scores.account_id
            and accounts_to_score.as_of_date = usable_metric_scores.as_of_date
            and accounts_to_score.scoring_version = usable_metric_scores.scoring_version
            and accounts_to_score.scorecard_key = usable_metric_scores.scorecard_key
            and churn_model.feature = usable_metric_scores.metric_key
    group by 1, 2, 3, 4
),

probabilities as (
    select
        accounts_to_score.*,
        case
            when model_terms.log_odds is not null
                then 1 / (
                    1 + exp(-1 * cast(model_terms.log_odds as {{ customer_health.type_double() }}))
                )
            when base_rates.churn_rate is not null
                then coalesce(
                    {{ customer_health.safe_divide(
                        'base_rates.account_count * base_rates.churn_rate'
                        ~ ' + accounts_to_score.prior_strength'
                        ~ ' * coalesce(accounts_to_score.prior_value, base_rates.churn_rate)',
                        'base_rates.account_count + accounts_to_score.prior_strength'
                    ) }},
                    accounts_to_score.prior_value,
                    base_rates.churn_rate
                )
            else accounts_to_score.prior_value
        end as churn_probability,
        case
            when model_terms.log_odds is not null then 'model'
            when base_rates.churn_rate is not null then 'base_rate'
            when accounts_to_score.prior_value is not null then 'prior'
        end as churn_probability_method,
        coalesce(model_terms.churner_count, base_rates.account_count) as sample_size
    from accounts_to_score
    left join model_terms
        on
            accounts_to_score.account_id = model_terms.account_id
            and accounts_to_score.as_of_date = model_terms.as_of_date
            and accounts_to_score.scoring_version = model_terms.scoring_version
            and accounts_to_score.scorecard_key = model_terms.scorecard_key
    left join base_rates
        on
            accounts_to_score.account_id = base_rates.account_id
            and accounts_to_score.as_of_date = base_rates.as_of_date
            and accounts_to_score.scoring_version = base_rates.scoring_version
            and accounts_to_score.scorecard_key = base_rates.scorecard_key
),

final as (
    select  -- noqa: ST06
        account_id,
        as_of_date,
        scoring_version,
        scorecard_key,
        category_key,
        metric_key,
        category_weight,
        metric_weight,
        churn_probability as metric_value,
        cast(as_of_date as timestamp) as observed_at,
        cast(sample_size as bigint) as sample_size,
        case when churn_probability is null then 'unknown' else 'observed' end as value_state,
        tenure_days,
        churn_probability_method
    from probabilities
)

select * from final
