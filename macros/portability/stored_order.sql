{#- Behind the last select of a large table: the order in which its rows are stored, for readers that
    ask for one date or one account. DuckDB then opens a few of the blocks; other engines have
    indexes, clustering keys and statistics of their own, and a sort of everything would cost there.

    columns: list of columns
    Example: stored_order(['as_of_date', 'account_id']) on DuckDB -> order by as_of_date, account_id. -#}
{% macro stored_order(columns) -%}
    {{ return(adapter.dispatch('stored_order', 'customer_health')(columns)) }}
{%- endmacro %}

{% macro default__stored_order(columns) -%}
{%- endmacro %}

{% macro duckdb__stored_order(columns) -%}
    order by {{ columns | join(', ') }}
{%- endmacro %}
