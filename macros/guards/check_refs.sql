{#- Hook before a model, in a project that installs the package: refuses a model or seed of that project
    which dbt hands to this model in place of ours, while ours is there too. dbt looks for a name in the
    project that runs first; so a list of one's own that is called metrics would silently become policy.
    One that takes our place on purpose goes with ours disabled.

    Example: check_refs() with models/metrics.sql in the project -> an error that names both ways out. -#}
{% macro check_refs() -%}
    {%- if execute and project_name != 'customer_health' -%}
        {%- for unique_id in model.depends_on.nodes if unique_id.split('.')[1] == project_name -%}
            {%- set name = unique_id.split('.')[2] -%}
            {%- for kind in ['seed', 'model'] if kind ~ '.customer_health.' ~ name in graph.nodes -%}
                {{ exceptions.raise_compiler_error(
                    'this project has a ' ~ unique_id.split('.')[0] ~ ' called ' ~ name
                    ~ ', and dbt would give it to customer_health in place of the ' ~ kind
                    ~ ' of that name: rename it; or, if it is meant to take that place, disable ours ('
                    ~ kind ~ 's: customer_health: … ' ~ name ~ ': +enabled: false)'
                ) }}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
