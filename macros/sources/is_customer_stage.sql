{#- Whether a lifecycle stage (HubSpot) or a type (Salesforce) makes an account of the CRM a customer,
    or a former one: those of the var customer_health__customer_stages, else the vendor's usual ones.

    vendor: hubspot or salesforce;  expression: SQL of text, lower case
    Example: customer_health__customer_stages: [customer, '1234567'] -> stage in ('customer', '1234567'). -#}
{% macro is_customer_stage(vendor, expression) -%}
    {%- set stages = var('customer_health__customer_stages', none) or [] -%}
    {%- if not stages and vendor == 'salesforce' -%}
        (
            {{ expression }} like '%customer%'
            and {{ expression }} not like '%prospect%'
            and {{ expression }} not like '%potential%'
        )
    {%- else -%}
        {%- set quoted = [] -%}
        {%- for stage in stages or ['customer', 'evangelist'] -%}
            {%- if not modules.re.match('^[A-Za-z0-9 _.&/()-]{1,100}$', stage | string) -%}
                {{ exceptions.raise_compiler_error(
                    "customer_health__customer_stages: '" ~ (stage | string)[:40]
                    ~ "' may hold letters, digits, blanks and _.&/()- only"
                ) }}
            {%- endif -%}
            {%- do quoted.append("'" ~ (stage | string | lower | trim) ~ "'") -%}
        {%- endfor -%}
        {{ expression }} in ({{ quoted | join(', ') }})
    {%- endif -%}
{%- endmacro %}
