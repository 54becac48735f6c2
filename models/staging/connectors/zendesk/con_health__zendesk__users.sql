{{ config(enabled=customer_health.is_connected('zendesk')) }}

with

final as (
    {{ customer_health.vendor_rows('zendesk', 'user', [
        ['id', 'id', 'required'],
        ['email', 'label', 'optional'],
        ['role', 'code', 'optional'],
        ['organization_id', 'id', 'optional'],
    ], keep_deleted=true) | indent(4) }}
)

select * from final
