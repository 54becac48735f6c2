-- One row per source of this run: the shares of its rows that are about unknown accounts, that belong
-- to an account of another system that is not found in the CRM, and that cannot be used for whatever
-- other reason.
with

unmatched_rows as (
    select
        rejected_rows.source_table,
        sum(rejected_rows.row_count) as unmatched_count
    from fct_health__rejected_rows as rejected_rows
    inner join gate_run
        on rejected_rows.last_seen_date = gate_run.as_of_date
    where rejected_rows.rejection_reason in ('unmatched_account', 'ambiguous_account')
    group by 1
),

sources as (
    select
        source_rows.source_table,
        coalesce(source_rows.row_count, 0) as row_count,
        coalesce(source_rows.orphan_count, 0) as orphan_count,
        coalesce(unmatched_rows.unmatched_count, 0) as unmatched_count,
        coalesce(source_rows.rejected_count, 0)
        - coalesce(unmatched_rows.unmatched_count, 0) as rejected_count
    from fct_health__source_rows as source_rows
    inner join gate_run
        on source_rows.as_of_date = gate_run.as_of_date
    left join unmatched_rows
        on source_rows.source_table = unmatched_rows.source_table
),

final as (
    select
        sources.source_table as row_key,
        sources.orphan_count,
        sources.unmatched_count,
        sources.rejected_count,
        cast(sources.orphan_count as double precision)
        / greatest(sources.row_count, 1) as orphan_share,
        cast(sources.unmatched_count as double precision)
        / greatest(sources.row_count, 1) as unmatched_share,
        cast(sources.rejected_count as double precision)
        / greatest(sources.row_count, 1) as rejected_share,
        sources.source_table
        || ' has '
        || cast(sources.orphan_count as varchar)
        || ' of '
        || cast(sources.row_count as varchar)
        || ' rows of unknown accounts' as orphan_finding,
        sources.source_table
        || ' has '
        || cast(sources.unmatched_count as varchar)
        || ' of '
        || cast(sources.row_count as varchar)
        || ' rows whose account is not found in the CRM (dim_health__account_links)'
            as unmatched_finding,
        sources.source_table
        || ' has '
        || cast(sources.rejected_count as varchar)
        || ' of '
        || cast(sources.row_count as varchar)
        || ' rows that cannot be used' as rejected_finding
    from sources
)

select * from final
