{#- Two copies of every row: one in the slice `all`, one in that of its period, which is
    `out_of_time` from fitted_to of its version on and `fitted` before.

    relation: a CTE with the column is_out_of_time
    Example: {{ customer_health.period_slices('outcomes') }} -> columns of outcomes, slice_kind,
    slice_value. -#}
{% macro period_slices(relation) -%}
select
    *,
    'all' as slice_kind,
    'all' as slice_value
from {{ relation }}

union all

select
    *,
    'period' as slice_kind,
    case when is_out_of_time then 'out_of_time' else 'fitted' end as slice_value
from {{ relation }}
{%- endmacro %}
