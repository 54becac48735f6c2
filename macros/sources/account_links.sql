{#- The account links of a vendor: what its tables tell of the accounts that it knows, so that
    int_health__account_identity can find them in the CRM. A row without a value says that the
    account exists; the CRM, whose accounts are known anyway, has none (only_values).

    links: list of [rows, account, method, value], where
        rows     a CTE
        account  SQL of the vendor's id of the account
        method   external_id or domain, see the seed account_link_methods
        value    SQL of the id that another system has for it, or of its web domain
    only_values: whether rows without a value are left out
    returns: select of source_account_id, link_method, link_value
    Example: account_links([['customers', 'id', 'external_id', 'crm_id']]). -#}
{% macro account_links(links, only_values=false) -%}
    {%- for rows, account, method, value in links -%}
    select
        {{ account }} as source_account_id,
        '{{ method }}' as link_method,
        {{ value }} as link_value
    from {{ rows }}
    where
        {{ account }} is not null
        {%- if only_values %}
        and {{ value }} is not null
        {%- endif %}
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor -%}
{%- endmacro %}
