{#- A table on DuckDB: the old one is dropped and the new one made in one transaction, so that a
    query that fails leaves the old one.

    dbt-duckdb makes a second table and renames both, in more statements (docs/performance.md), and
    dbt collects all macros of the project anew for each renaming. Nobody reads the candidate while it
    is built, so there is nothing to keep in place meanwhile.

    It counts where this is the root project; in a project that installs us dbt takes its own. -#}
{% materialization table, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='table') -%}

    {%- set hooks_before = customer_health.hooks_with_work(pre_hooks) -%}
    {%- set hooks_after = customer_health.hooks_with_work(post_hooks) -%}
    {{ run_hooks(hooks_before, inside_transaction=False) }}
    {{ run_hooks(hooks_before, inside_transaction=True) }}

    {%- set replaced = customer_health.relation_to_replace('table') -%}
    {% call statement('main') -%}
        {%- if replaced is not none %} drop table {{ replaced }}; {% endif -%}
        {{ create_table_as(False, target_relation, compiled_code) }}
    {%- endcall %}
    {% do create_indexes(target_relation) %}

    {{ run_hooks(hooks_after, inside_transaction=True) }}
    {% do persist_docs(target_relation, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(hooks_after, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
