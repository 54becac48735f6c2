{#- How many months a number of billing intervals lasts; a year has 365 days and 52 weeks.

    interval: SQL of day, week, month or year;  count: SQL of a whole number, null: 1
    Example: ('year', 1) -> 12.0;  ('week', 2) -> 0.46. -#}
{% macro months_of(interval, count) -%}
    coalesce({{ count }}, 1)
    * case {{ interval }}
        when 'year' then 12.0
        when 'week' then 12.0 / 52
        when 'day' then 12.0 / 365
        else 1.0
    end
{%- endmacro %}
