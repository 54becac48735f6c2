-- The playbook that is meant to win back the points of a metric: one that names it, before one that
-- names its category; the most urgent first.
{{ config(materialized='view') }}

with

playbooks as (
    select *
    from {{ ref('int_health__playbooks') }}
    where not is_draft
),

metrics as (select * from {{ ref('metrics') }}),

ranked as (
    select
        metrics.scoring_version,
        metrics.metric_key,
        playbooks.playbook_key,
        row_number() over (
            partition by metrics.scoring_version, metrics.metric_key
            order by
                case when playbooks.moves_key = metrics.metric_key then 0 else 1 end asc,
                playbooks.priority asc,
                playbooks.playbook_key asc
        ) as playbook_rank
    from metrics
    inner join playbooks
        on playbooks.moves_key in (metrics.metric_key, metrics.category_key)
),

final as (
    select
        scoring_version,
        metric_key,
        playbook_key
    from ranked
    where playbook_rank = 1
)

select * from final
