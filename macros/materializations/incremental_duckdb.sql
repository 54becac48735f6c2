{#- An incremental model on DuckDB whose new rows are appended: they go into the table as they are
    made. dbt-duckdb writes them to a temporary table first, reads its columns and copies it.

    All else is dbt-duckdb's: the first build, a full refresh, other strategies, and what changes the
    columns of a table. It counts where this is the root project. -#}
{% materialization incremental, adapter='duckdb' %}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set on_schema_change = incremental_validate_on_schema_change(
        config.get('on_schema_change'), default='ignore'
    ) -%}
    {%- if existing_relation is none
        or existing_relation.is_view
        or should_full_refresh()
        or config.get('incremental_strategy') != 'append'
        or on_schema_change not in ['ignore', 'fail'] -%}
        {{ return(dbt.materialization_incremental_duckdb()) }}
    {%- endif -%}

    {%- set hooks_before = customer_health.hooks_with_work(pre_hooks) -%}
    {%- set hooks_after = customer_health.hooks_with_work(post_hooks) -%}
    {{ run_hooks(hooks_before, inside_transaction=False) }}
    {{ run_hooks(hooks_before, inside_transaction=True) }}

    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent(compiled_code) }}
    {%- endif -%}
    {%- set stored = adapter.get_column_schema_from_query(
        'select * from ' ~ existing_relation ~ ' limit 0'
    ) -%}
    {%- if on_schema_change == 'fail' -%}
        {%- do customer_health.refuse_other_columns(stored) -%}
    {%- endif -%}
    {%- set names = get_quoted_csv(stored | map(attribute='name')) -%}
    {% call statement('main') -%}
        insert into {{ existing_relation }} ({{ names }})
        select {{ names }}
        from (
            {{ compiled_code }}
        ) as new_rows
    {%- endcall %}
    {% do persist_docs(existing_relation, model) %}

    {{ run_hooks(hooks_after, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(hooks_after, inside_transaction=False) }}

    {{ return({'relations': [existing_relation]}) }}
{% endmaterialization %}
