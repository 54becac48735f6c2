{#- levels of parents above an account that are followed; a circle ends there too -#}
{% set levels = range(1, 6) %}

with

account_360 as (select * from {{ ref('bi_health__account_360') }}),

parents as (
    select
        account_id,
        parent_account_id
    from account_360
    where parent_account_id is not null and parent_account_id <> account_id
),

top_parents as (
    select
        account_360.account_id,
        coalesce(
            {% for level in levels | reverse %}
            level_{{ level }}.parent_account_id,
            {% endfor %}
            account_360.account_id
        ) as top_account_id
    from account_360
    {% for level in levels %}
    {% set child_id = 'account_360.account_id'
        if level == 1 else 'level_' ~ (level - 1) ~ '.parent_account_id'
    %}
    left join parents as level_{{ level }}
        on {{ child_id }} = level_{{ level }}.account_id
    {% endfor %}
),

-- the parent itself is a member of its group
members as (
    select
        top_parents.top_account_id as parent_account_id,
        account_360.account_id,
        account_360.health_score,
        account_360.health_score_exact,
        account_360.band,
        account_360.arr_amount
    from top_parents
    inner join account_360
        on top_parents.account_id = account_360.account_id
    where
        not account_360.is_frozen
        and account_360.as_of_date is not null
),

ranked_members as (
    select
        *,
        row_number() over (
            partition by parent_account_id
            order by health_score_exact asc nulls last, account_id asc
        ) as score_rank
    from members
),

account_groups as (
    select
        parent_account_id,
        count(*) as account_count,
        count(health_score_exact) as scored_account_count,
        {{ customer_health.exact_sum('coalesce(arr_amount, 0)') }} as arr_amount,
        {{ customer_health.exact_sum(
            'case when health_score_exact is not null then coalesce(arr_amount, 0) end'
        ) }} as scored_arr_amount,
        {{ customer_health.exact_sum('health_score_exact * coalesce(arr_amount, 0)') }}
            as arr_weighted_sum,
        {{ customer_health.exact_sum('health_score_exact') }} as score_sum,
        max(case when score_rank = 1 then account_id end) as lowest_account_id,
        max(case when score_rank = 1 then health_score end) as lowest_health_score,
        max(case when score_rank = 1 then band end) as lowest_band,
        max(case when account_id <> parent_account_id then 1 else 0 end) as has_children
    from ranked_members
    group by 1
),

final as (
    select
        account_groups.parent_account_id,
        parent_360.account_name as parent_account_name,
        cast(account_groups.account_count as bigint) as account_count,
        cast(account_groups.scored_account_count as bigint) as scored_account_count,
        cast(account_groups.arr_amount as {{ customer_health.type_double() }}) as arr_amount,
        -- weighted by ARR; where nobody pays, every account counts alike
        {{ customer_health.round_score(
            'coalesce('
            ~ customer_health.safe_divide(
                'account_groups.arr_weighted_sum', 'account_groups.scored_arr_amount'
            )
            ~ ', '
            ~ customer_health.safe_divide(
                'account_groups.score_sum', 'account_groups.scored_account_count'
            )
            ~ ')'
        ) }} as health_score_by_arr,
        account_groups.lowest_account_id,
        account_groups.lowest_health_score,
        account_groups.lowest_band
    from account_groups
    left join account_360 as parent_360
        on account_groups.parent_account_id = parent_360.account_id
    where account_groups.has_children = 1
)

select * from final
