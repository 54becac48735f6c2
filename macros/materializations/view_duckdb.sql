{#- A view on DuckDB, replaced in one transaction; why: see the materialization `table` beside it. -#}
{% materialization view, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='view') -%}

    {%- set hooks_before = customer_health.hooks_with_work(pre_hooks) -%}
    {%- set hooks_after = customer_health.hooks_with_work(post_hooks) -%}
    {{ run_hooks(hooks_before, inside_transaction=False) }}
    {{ run_hooks(hooks_before, inside_transaction=True) }}

    {%- set replaced = customer_health.relation_to_replace('view') -%}
    {% call statement('main') -%}
        {%- if replaced is not none %} drop view {{ replaced }}; {% endif -%}
        {{ get_create_view_as_sql(target_relation, compiled_code) }}
    {%- endcall %}

    {{ run_hooks(hooks_after, inside_transaction=True) }}
    {% do persist_docs(target_relation, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(hooks_after, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
