{{ config(materialized='table') }}

with

link_values as (select * from {{ ref('int_health__account_link_values') }}),

candidates as (select * from {{ ref('int_health__account_candidates') }}),

source_accounts as (
    select
        source_system,
        source_account_id,
        max(case when is_public_domain then 1 else 0 end) = 1 as has_public_domain
    from link_values
    where source_system <> 'crm'
    group by 1, 2
),

-- the best method decides alone; what the others say is told beside it
best_candidates as (
    select
        source_system,
        source_account_id,
        max(link_method) as link_method,
        max(confidence) as confidence,
        max(account_id) as account_id,
        count(*) as best_count
    from candidates
    where is_best_method
    group by 1, 2
),

candidate_accounts as (
    select distinct
        source_system,
        source_account_id,
        account_id
    from candidates
),

candidate_lists as (
    select
        source_system,
        source_account_id,
        {{ customer_health.sorted_list('account_id', ', ') }} as candidate_account_ids,
        count(*) as candidate_count
    from candidate_accounts
    group by 1, 2
),

final as (
    select
        source_accounts.source_system,
        source_accounts.source_account_id,
        case when best_candidates.best_count = 1 then best_candidates.account_id end as account_id,
        case
            when best_candidates.best_count = 1 then 'linked'
            when best_candidates.best_count > 1 then 'conflict'
            else 'unmatched'
        end as link_state,
        best_candidates.link_method,
        case
            when best_candidates.best_count = 1
                then cast(best_candidates.confidence as {{ customer_health.type_double() }})
        end as confidence,
        candidate_lists.candidate_account_ids,
        coalesce(candidate_lists.candidate_count, 0) as candidate_count,
        source_accounts.has_public_domain,
        coalesce(best_candidates.best_count = 1 and candidate_lists.candidate_count > 1, false)
            as is_contradicted
    from source_accounts
    left join best_candidates
        on
            source_accounts.source_system = best_candidates.source_system
            and source_accounts.source_account_id = best_candidates.source_account_id
    left join candidate_lists
        on
            source_accounts.source_system = candidate_lists.source_system
            and source_accounts.source_account_id = candidate_lists.source_account_id
)

select * from final
