{#- The day on which a contact left the account, from columns of crm_contacts; null while it is there. A
    contact that is only marked as inactive left when that was written.

    Example: contact_left_on() -> cast(coalesce(left_at, …) as date). -#}
{% macro contact_left_on() -%}
    cast(coalesce(left_at, case when not is_active then updated_at end) as date)
{%- endmacro %}
