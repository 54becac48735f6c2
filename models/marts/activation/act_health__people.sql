-- Who uses the product at an account and who talks with us: contacts of the CRM with the usage of
-- their user, and active users whom the CRM does not know.
with

accounts as (
    select *
    from {{ ref('dim_health__accounts') }}
    where is_current
),

contacts as (select * from {{ ref('int_health__valid_crm_contacts') }}),

touchpoints as (select * from {{ ref('int_health__valid_crm_touchpoints') }}),

usage_user_days as (select * from {{ ref('int_health__usage_user_days') }}),

user_activity as (
    select
        account_id,
        user_id,
        sum(event_count) as event_count,
        count(distinct usage_date) as active_days
    from usage_user_days
    where
        user_id is not null
        and usage_date < {{ customer_health.as_of_date() }}
        and usage_date >= {{ customer_health.add_days(customer_health.as_of_date(), -28) }}
    group by 1, 2
),

talks as (
    select
        account_id,
        contact_id,
        count(*) as contact_count,
        max(cast(occurred_at as date)) as last_contact_on
    from touchpoints
    where
        contact_id is not null
        and direction = 'two_way'
        and cast(occurred_at as date) < {{ customer_health.as_of_date() }}
        and cast(occurred_at as date)
        >= {{ customer_health.add_days(customer_health.as_of_date(), -90) }}
    group by 1, 2
),

known_contacts as (
    select
        account_id,
        contact_id,
        user_id,
        role,
        {{ customer_health.contact_left_on() }} as left_on
    from contacts
    where cast(created_at as date) < {{ customer_health.as_of_date() }}
),

people as (
    select
        account_id,
        contact_id,
        user_id,
        role,
        coalesce(left_on < {{ customer_health.as_of_date() }}, false) as has_left
    from known_contacts

    union all

    select
        user_activity.account_id,
        cast(null as {{ dbt.type_string() }}) as contact_id,
        user_activity.user_id,
        cast(null as {{ dbt.type_string() }}) as role,
        false as has_left
    from user_activity
    left join known_contacts
        on
            user_activity.account_id = known_contacts.account_id
            and user_activity.user_id = known_contacts.user_id
    where known_contacts.user_id is null
),

with_activity as (
    select
        people.account_id,
        people.contact_id,
        people.user_id,
        people.role,
        people.has_left,
        talks.last_contact_on,
        coalesce(people.contact_id, people.user_id) as person_id,
        coalesce(user_activity.event_count, 0) as event_count,
        coalesce(user_activity.active_days, 0) as active_days,
        sum(user_activity.event_count) over (partition by people.account_id) as account_event_count,
        coalesce(talks.contact_count, 0) as contact_count
    from people
    inner join accounts
        on people.account_id = accounts.account_id
    left join user_activity
        on
            people.account_id = user_activity.account_id
            and people.user_id = user_activity.user_id
    left join talks
        on
            people.account_id = talks.account_id
            and people.contact_id = talks.contact_id
),

final as (
    select
        account_id,
        contact_id,
        user_id,
        role,
        has_left,
        cast(event_count as bigint) as event_count_28_days,
        cast(active_days as bigint) as active_days_28_days,
        {{ customer_health.safe_divide('event_count', 'account_event_count') }} as usage_share,
        cast(contact_count as bigint) as two_way_contact_count_90_days,
        last_contact_on,
        cast(row_number() over (
            partition by account_id
            order by event_count desc, active_days desc, person_id asc
        ) as bigint) as usage_rank,
        cast(row_number() over (
            partition by account_id
            order by contact_count desc, last_contact_on desc, person_id asc
        ) as bigint) as contact_rank
    from with_activity
)

select * from final
