-- Whether somebody argues for us at the account, and since when nobody has talked with them.
with

build_dates as (select * from {{ ref('int_health__build_dates') }}),

contacts as (select * from {{ ref('int_health__valid_crm_contacts') }}),

touchpoints as (select * from {{ ref('int_health__valid_crm_touchpoints') }}),

champions as (
    select
        account_id,
        contact_id,
        cast(created_at as date) as known_from,
        {{ customer_health.contact_left_on() }} as left_on
    from contacts
    where role = 'champion'
),

champion_dates as (
    select
        champions.account_id,
        champions.contact_id,
        build_dates.as_of_date,
        champions.known_from,
        case
            when build_dates.as_of_date > champions.left_on then champions.left_on
        end as left_on
    from build_dates
    inner join champions
        on build_dates.as_of_date > champions.known_from
),

-- a touchpoint that names no contact counts for the champion: silence has to be certain
last_contacts as (
    select
        champion_dates.account_id,
        champion_dates.as_of_date,
        max(cast(touchpoints.occurred_at as date)) as last_contact_on
    from champion_dates
    inner join touchpoints
        on
            champion_dates.account_id = touchpoints.account_id
            and champion_dates.as_of_date > cast(touchpoints.occurred_at as date)
            and coalesce(champion_dates.contact_id = touchpoints.contact_id, true)
    where
        champion_dates.left_on is null
        and touchpoints.direction = 'two_way'
    group by 1, 2
),

states as (
    select
        account_id,
        as_of_date,
        sum(case when left_on is null then 1 else 0 end) as present_count,
        max(case when left_on is null then known_from end) as known_from,
        max(left_on) as left_on
    from champion_dates
    group by 1, 2
),

final as (
    select
        states.account_id,
        states.as_of_date,
        states.present_count > 0 as has_champion,
        case when states.present_count = 0 then states.left_on end as champion_left_on,
        case
            when states.present_count > 0
                then {{ customer_health.days_between(
                    'greatest(coalesce(last_contacts.last_contact_on, states.known_from),'
                    ~ ' states.known_from)',
                    'states.as_of_date'
                ) }}
        end as champion_silent_days
    from states
    left join last_contacts
        on
            states.account_id = last_contacts.account_id
            and states.as_of_date = last_contacts.as_of_date
)

select * from final
