{#- Which columns of a raw table a deployment takes from columns of its own choice, such as the
    custom fields of its CRM.

    table: name in the input contract, or none
    returns: dict of column to the name at the vendor
    Example: customer_health__connector_columns: {crm_accounts: {plan: property_plan_tier}}
        -> mapped_columns('crm_accounts') is {'plan': 'property_plan_tier'}. -#}
{% macro mapped_columns(table) -%}
    {%- set all_mapped = var('customer_health__connector_columns', {}) or {} -%}
    {%- set mapped = all_mapped.get(table, {}) or {} -%}
    {%- if table is not none -%}
        {%- set known = customer_health.input_contract()[table]['columns'] | map(attribute=0) | list -%}
        {%- for name, own_name in mapped.items() -%}
            {%- if name not in known or not modules.re.match('^[A-Za-z_][A-Za-z0-9_$. ]*$', own_name | string) -%}
                {{ exceptions.raise_compiler_error(
                    'customer_health__connector_columns: ' ~ table ~ '.' ~ name ~ ': '
                    ~ (
                        'the input contract has no such column (nearest: '
                        ~ customer_health.nearest_name(name, known) ~ ')'
                        if name not in known else "'" ~ own_name ~ "' is no name of a column"
                    )
                ) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(mapped) }}
{%- endmacro %}
