{#- A CRM's own word for the part that a person plays, as one of the input contract's. Where several
    are given, the first of champion, sponsor, billing and admin counts.

    expression: SQL of text, lower case
    Example: 'decision_maker;champion' -> champion;  null -> user. -#}
{% macro contact_role(expression) -%}
    case
        when {{ expression }} like '%champion%' then 'champion'
        when
            {{ expression }} like '%sponsor%'
            or {{ expression }} like '%decision%'
            or {{ expression }} like '%executive%'
            then 'sponsor'
        when {{ expression }} like '%budget%' or {{ expression }} like '%billing%' then 'billing'
        when {{ expression }} like '%admin%' then 'admin'
        else 'user'
    end
{%- endmacro %}
