{#- The account links of a vendor without a table of accounts: it knows only what account_key made of
    its rows. The ids in them are ours to choose, and often are those of the CRM.

    vendor: as in connectors(), one whose domain has nothing but such keys
    Example: account_links_of_keys('delighted') in con_health__delighted__account_links.sql. -#}
{% macro account_links_of_keys(vendor) -%}
    {%- set tables = [] -%}
    {%- for vendors in customer_health.connectors().values() -%}
        {%- for table in vendors.get(vendor, []) if customer_health.is_connected(vendor, table) -%}
            {%- do tables.append(table) -%}
        {%- endfor -%}
    {%- endfor -%}
with

{% for table in tables -%}
{{ table }} as (select * from {{ ref('con_health__' ~ vendor ~ '__' ~ table) }}),

{% endfor -%}
{% if 'product_events' in tables -%}
-- of the events that this run reads
{% endif -%}
account_keys as (
    {%- for table in tables %}
    select account_id
    from {{ table }}
    where
        account_id is not null
        {%- if table == 'product_events' %}
        and {{ customer_health.usage_rebuild_filter('occurred_at') }}
        {%- endif %}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- else %}
    select cast(null as {{ dbt.type_string() }}) as account_id
    {%- endfor %}
),

accounts as (
    select distinct account_id
    from account_keys
),

final as (
    {{ customer_health.account_links([
        ['accounts', 'account_id', 'external_id', 'account_id'],
        ['accounts', 'account_id', 'domain', customer_health.key_domain('account_id')],
    ]) | indent(4) }}
)

select * from final
{%- endmacro %}
