{#- The days of each account and playbook that are at least cooldown_days apart, taken from the first
    on: one statement. Which day is taken depends on the one taken before, so that windows alone
    cannot say it: a recursion does, or a fold over the days where an engine has none.

    relation: account_id, playbook_key, day_number, cooldown_days (1 to 3660) and match_number, which
        counts the days of an account and playbook from 1
    Example: days 1, 5, 12, 13 with a cooldown of 7 -> 1, 12. -#}
{% macro spaced_days(relation) -%}
    {{ return(adapter.dispatch('spaced_days', 'customer_health')(relation)) }}
{%- endmacro %}

{% macro default__spaced_days(relation) -%}
with recursive

candidates as (select * from {{ relation }}),

with_next as (
    {{ customer_health.next_spaced_days() | indent(4) }}
),

taken as (
    select
        account_id,
        playbook_key,
        day_number,
        next_day_number
    from with_next
    where match_number = 1

    union all

    select
        with_next.account_id,
        with_next.playbook_key,
        with_next.day_number,
        with_next.next_day_number
    from taken
    inner join with_next
        on
            taken.account_id = with_next.account_id
            and taken.playbook_key = with_next.playbook_key
            and taken.next_day_number = with_next.day_number
)

select
    account_id,
    playbook_key,
    day_number
from taken
{%- endmacro %}

{#- Spark 3.5 has no recursion. -#}
{% macro spark__spaced_days(relation) -%}
with

candidates as (select * from {{ relation }}),

in_order as (
    select
        account_id,
        playbook_key,
        max(cast(cooldown_days as bigint)) as cooldown_days,
        array_sort(collect_list(day_number)) as day_numbers
    from candidates
    group by account_id, playbook_key
)

select
    account_id,
    playbook_key,
    explode(aggregate(
        day_numbers,
        cast(array() as array<bigint>),
        (taken, day_number) -> if(
            size(taken) = 0 or day_number - element_at(taken, -1) >= cooldown_days,
            concat(taken, array(day_number)),
            taken
        )
    )) as day_number
from in_order
{%- endmacro %}


{#- The first day after each that is free again, from `candidates`. -#}
{% macro next_spaced_days() -%}
    {{ return(adapter.dispatch('next_spaced_days', 'customer_health')()) }}
{%- endmacro %}

{#- In units of the cooldown, the next free day is one or more away. A day less is at most
    1 - 1/3660, so that 0.9999 tells them apart whatever the division rounds. -#}
{% macro default__next_spaced_days() -%}
select
    account_id,
    playbook_key,
    day_number,
    match_number,
    min(day_number) over (
        partition by account_id, playbook_key
        order by cast(day_number as {{ customer_health.type_double() }}) / cooldown_days
        range between 0.9999 following and unbounded following
    ) as next_day_number
from candidates
{%- endmacro %}

{#- Redshift frames by rows only. -#}
{% macro redshift__next_spaced_days() -%}
select
    candidates.account_id,
    candidates.playbook_key,
    candidates.day_number,
    candidates.match_number,
    min(later_candidates.day_number) as next_day_number
from candidates
left join candidates as later_candidates
    on
        candidates.account_id = later_candidates.account_id
        and candidates.playbook_key = later_candidates.playbook_key
        and later_candidates.day_number - candidates.day_number >= candidates.cooldown_days
group by 1, 2, 3, 4
{%- endmacro %}
