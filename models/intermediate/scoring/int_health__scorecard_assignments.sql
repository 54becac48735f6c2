with

spine as (select * from {{ ref('int_health__spine') }}),

scored_versions as (select * from {{ ref('int_health__scored_versions') }}),

scorecard_rules as (select * from {{ ref('scorecard_rules') }}),

scorecards as (select * from {{ ref('scorecards') }}),

-- the lowest priority number that matches wins, per purpose
matching_rules as (
    select
        spine.account_id,
        spine.as_of_date,
        spine.tenure_days,
        scored_versions.scoring_version,
        scored_versions.is_in_force,
        scorecards.purpose,
        scorecard_rules.scorecard_key,
        row_number() over (
            partition by
                spine.account_id,
                spine.as_of_date,
                scored_versions.scoring_version,
                scorecards.purpose
            order by scorecard_rules.priority, scorecard_rules.scorecard_key
        ) as rule_rank
    from spine
    inner join scored_versions
        on spine.as_of_date = scored_versions.as_of_date
    inner join scorecard_rules
        on
            scored_versions.scoring_version = scorecard_rules.scoring_version
            and (scorecard_rules.segment is null or spine.segment = scorecard_rules.segment)
            and (scorecard_rules.plan is null or spine.plan = scorecard_rules.plan)
            and (
                scorecard_rules.lifecycle_stage is null
                or spine.lifecycle_stage = scorecard_rules.lifecycle_stage
            )
            and spine.tenure_days >= coalesce(scorecard_rules.tenure_days_from, 0)
    inner join scorecards
        on
            scorecard_rules.scoring_version = scorecards.scoring_version
            and scorecard_rules.scorecard_key = scorecards.scorecard_key
),

final as (
    select
        account_id,
        as_of_date,
        scoring_version,
        is_in_force,
        purpose,
        scorecard_key,
        tenure_days
    from matching_rules
    where rule_rank = 1
)

select * from final
