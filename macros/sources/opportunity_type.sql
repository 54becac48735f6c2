{#- A CRM's own word for the kind of a deal, as one of the input contract's.

    expression: SQL of text, lower case
    Example: 'renewal - multi year' -> renewal;  'newbusiness' -> new;  null -> new. -#}
{% macro opportunity_type(expression) -%}
    case
        when {{ expression }} like '%renew%' then 'renewal'
        when {{ expression }} like '%contraction%' or {{ expression }} like '%downgrade%'
            then 'contraction'
        when
            {{ expression }} like '%exist%'
            or {{ expression }} like '%expan%'
            or {{ expression }} like '%upsell%'
            or {{ expression }} like '%upgrade%'
            or {{ expression }} like '%cross%'
            or {{ expression }} like '%add%on%'
            then 'expansion'
        else 'new'
    end
{%- endmacro %}
