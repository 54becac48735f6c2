{#- Whether something happened when an account of the CRM was a customer or on trial already; by days,
    as int_health__account_starts counts. What was before is the selling.

    moment: SQL of type timestamp;  accounts: the CTE with the columns of crm_accounts
    Example: is_after_start('tasks.occurred_at', 'accounts')
        -> cast(tasks.occurred_at as date) >= cast(least(…) as date). -#}
{% macro is_after_start(moment, accounts) -%}
    cast({{ moment }} as date) >= cast(
        least(
            {{ accounts }}.created_at,
            coalesce({{ accounts }}.trial_ends_at, {{ accounts }}.created_at)
        ) as date
    )
{%- endmacro %}
