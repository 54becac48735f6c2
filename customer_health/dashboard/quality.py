"""Data quality: what readers have, what it was checked for, and what is missing from the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from customer_health.dashboard.actions import counted, in_words
from customer_health.validation.report import share
from customer_health.warehouses import Reader

PUBLICATION_ROWS = 5
CHECK_ROWS = 15
FAILED_ROWS = 20
REJECTED_ROWS = 15
INCIDENT_ROWS = 10
GATES = {"landing": "Raw tables", "candidate": "Marts"}
# Sources for which the landing gate sets no limit are called quiet from then on: it is the longest
# of the limits that are set for sources in which quiet weeks are usual.
QUIET_AFTER_DAYS = 35
STATES = {
    "observed": "Observed",
    "zero": "Zero",
    "unknown": "Unknown",
    "not_connected": "Not connected",
    "not_yet_due": "Not yet due",
    "not_applicable": "Does not apply",
}
KINDS = {
    "usage_day": "far less usage than on this weekday before",
    "score_fall": "the score of the metric fell from one day to the next",
}
# In the order in which a source is asked: macros/sources tells what each one means exactly.
REASONS = {
    "unmatched_account": "the other system's account is none of the CRM",
    "ambiguous_account": "the other system's account may be several of the CRM",
    "null_key": "no id",
    "uncastable": "a value cannot be read",
    "naive_timestamp": "a time without a zone",
    "not_finite": "a number that is not finite",
    "missing_value": "a value that has to be there is missing",
    "orphan": "the account is not known",
    "future": "dated on or after the date of the scores",
    "before_start": "dated before it can have been",
    "closed_before_opened": "ends before it begins",
    "out_of_range": "a value outside its range",
    "negative_amount": "a negative amount",
    "missing_rate": "no exchange rate for the currency",
    "conflicting_duplicate": "an older row with the same id",
}
COVERAGES = ("100%", "90% to 99%", "75% to 89%", "50% to 74%", "below 50%", "nothing applies")


# -- publications --------------------------------------------------------------------------------
def count_publications(reader: Reader) -> int:
    """Publications that the readers' copy lists."""
    return int(reader.rows("select count(*) from {marts}.fct_health__publications")[0][0])


def read_publications(
    reader: Reader, page: int = 1, rows: int = PUBLICATION_ROWS
) -> list[dict[str, Any]]:
    """A page of the rows of fct_health__publications, the newest first."""
    return reader.records(
        f"""
        select
            publication_id,
            published_at,
            as_of_date,
            scoring_version,
            policy_hash,
            git_sha,
            account_count,
            scored_account_count,
            checks_run,
            checks_passed,
            newest_input_at,
            is_backfill
        from {{marts}}.fct_health__publications
        order by published_at desc, publication_id desc
        limit {int(rows)} offset {(int(page) - 1) * int(rows)}
        """
    )


# -- checks --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Checks:
    """Which checks of a publication are listed.

    Attributes:
        publication_id: whose.
        gate: landing or candidate; None for both.
        tables: raw tables and marts; an empty tuple for all.
    """

    publication_id: str
    gate: str | None = None
    tables: tuple[str, ...] = ()

    def where(self) -> tuple[str, list[Any]]:
        """A condition on fct_health__publication_checks, and the values that it is bound to."""
        conditions, bound = ["publication_id = ?"], [self.publication_id]
        if self.gate is not None:
            conditions.append("gate = ?")
            bound.append(self.gate)
        if self.tables:
            conditions.append(f"table_name in ({', '.join('?' for _ in self.tables)})")
            bound.extend(self.tables)
        return " and ".join(conditions), bound


def read_gates(reader: Reader, checks: Checks) -> list[dict[str, Any]]:
    """Checks per gate and table, the gate of the raw tables first.

    Returns:
        gate, table_name, check_count, warned_count (those that did not hold).
    """
    where, values = checks.where()
    return reader.records(
        f"""
        select
            gate,
            table_name,
            count(*) as check_count,
            cast(sum(case when is_passed then 0 else 1 end) as bigint) as warned_count
        from {{marts}}.fct_health__publication_checks
        where {where}
        group by gate, table_name
        order by gate desc, table_name
        """,
        values,
    )


def read_checks(
    reader: Reader, checks: Checks, page: int = 1, rows: int = CHECK_ROWS
) -> list[dict[str, Any]]:
    """A page of checks: those that did not hold first, the critical ones before the others."""
    where, values = checks.where()
    return reader.records(
        f"""
        select
            gate,
            rule,
            table_name,
            column_name,
            severity,
            is_passed,
            observed,
            expected,
            bad_row_count
        from {{marts}}.fct_health__publication_checks
        where {where}
        order by
            case when is_passed then 1 else 0 end,
            case severity when 'critical' then 0 when 'warning' then 1 else 2 end,
            gate desc,
            table_name,
            rule,
            column_name
        limit {int(rows)} offset {(int(page) - 1) * int(rows)}
        """,
        values,
    )


# -- sources -------------------------------------------------------------------------------------
# The last run on or before the date of the publication.
_LAST_RUN = """
    select max(as_of_date) as as_of_date
    from {marts}.fct_health__source_rows
    where as_of_date <= ?
"""


def read_sources(reader: Reader, publication_id: str, as_of: date) -> list[dict[str, Any]]:
    """What became of the rows of each source, and how new they are.

    Args:
        reader: of the readers' copy.
        publication_id: whose checks say how old a source may be.
        as_of: date of the publication.

    Returns:
        the columns of fct_health__source_rows of the last run; limit_in_words and is_in_time (1 or
        0) of the rule `fresh`, null where the landing gate sets no limit.
    """
    return reader.records(
        f"""
        with

        last_run as ({_LAST_RUN}),

        limits as (
            select
                table_name,
                min(expected) as limit_in_words,
                min(case when is_passed then 1 else 0 end) as is_in_time
            from {{marts}}.fct_health__publication_checks
            where publication_id = ? and gate = 'landing' and rule = 'fresh'
            group by table_name
        )

        select
            source_rows.source_table,
            source_rows.as_of_date,
            source_rows.row_count,
            source_rows.kept_count,
            source_rows.exact_duplicate_count,
            source_rows.rejected_count,
            source_rows.orphan_count,
            source_rows.newest_at,
            limits.limit_in_words,
            limits.is_in_time
        from {{marts}}.fct_health__source_rows as source_rows
        inner join last_run
            on source_rows.as_of_date = last_run.as_of_date
        left join limits
            on source_rows.source_table = limits.table_name
        order by source_rows.source_table
        """,
        [as_of, publication_id],
    )


def read_rejected(reader: Reader, as_of: date) -> list[dict[str, Any]]:
    """Rows that runs set aside, by source and reason, those that cost most rows first.

    Returns:
        source_table, rejection_reason, row_count (of all runs, each row once), current_count (set
        aside by the last run), read_count (rows that it read), first_seen_date, last_seen_date.
    """
    return reader.records(
        f"""
        with

        last_run as ({_LAST_RUN}),

        read_rows as (
            select
                source_rows.source_table,
                source_rows.row_count as read_count
            from {{marts}}.fct_health__source_rows as source_rows
            inner join last_run
                on source_rows.as_of_date = last_run.as_of_date
        ),

        rejected as (
            select
                rejected_rows.source_table,
                rejected_rows.rejection_reason,
                cast(sum(rejected_rows.row_count) as bigint) as row_count,
                cast(sum(
                    case
                        when rejected_rows.last_seen_date = last_run.as_of_date
                            then rejected_rows.row_count
                        else 0
                    end
                ) as bigint) as current_count,
                min(rejected_rows.first_seen_date) as first_seen_date,
                max(rejected_rows.last_seen_date) as last_seen_date
            from {{marts}}.fct_health__rejected_rows as rejected_rows
            left join last_run
                on 1 = 1
            group by rejected_rows.source_table, rejected_rows.rejection_reason
        )

        select
            rejected.source_table,
            rejected.rejection_reason,
            rejected.row_count,
            rejected.current_count,
            read_rows.read_count,
            rejected.first_seen_date,
            rejected.last_seen_date
        from rejected
        left join read_rows
            on rejected.source_table = read_rows.source_table
        order by
            rejected.current_count desc,
            rejected.row_count desc,
            rejected.source_table,
            rejected.rejection_reason
        """,
        [as_of],
    )


# -- coverage ------------------------------------------------------------------------------------
def read_coverage(reader: Reader) -> list[dict[str, Any]]:
    """Accounts of today by how much of their score is known.

    Returns:
        coverage (of COVERAGES), account_count, unscored_count.
    """
    full, most, much, half, little, none = COVERAGES
    return reader.records(
        f"""
        with

        classed as (
            select
                case
                    when coverage is null then '{none}'
                    when coverage >= 0.9999 then '{full}'
                    when coverage >= 0.9 then '{most}'
                    when coverage >= 0.75 then '{much}'
                    when coverage >= 0.5 then '{half}'
                    else '{little}'
                end as coverage,
                case when health_score is null then 1 else 0 end as is_unscored
            from {{marts}}.fct_health__account_scores_current
        )

        select
            coverage,
            count(*) as account_count,
            cast(sum(is_unscored) as bigint) as unscored_count
        from classed
        group by coverage
        """
    )


def read_states(reader: Reader, as_of: date) -> list[dict[str, Any]]:
    """Values of the date by purpose, metric and state.

    Returns:
        purpose, metric_key, metric_label, value_state, account_count.
    """
    # The date is bound and not asked for: engines then skip the rows of all other dates.
    return reader.records(
        """
        select
            purpose,
            metric_key,
            min(metric_label) as metric_label,
            value_state,
            count(*) as account_count
        from {marts}.fct_health__metric_scores
        where as_of_date = ?
        group by purpose, metric_key, value_state
        order by purpose, metric_key, value_state
        """,
        [as_of],
    )


# -- incidents -----------------------------------------------------------------------------------
def count_incidents(reader: Reader, as_of: date) -> tuple[int, int]:
    """Data incidents of all dates, and of one."""
    every, today = reader.rows(
        """
        select
            count(*),
            coalesce(sum(case when as_of_date = ? then 1 else 0 end), 0)
        from {marts}.fct_health__data_incidents
        """,
        [as_of],
    )[0]
    return int(every), int(today)


def read_incidents(
    reader: Reader, page: int = 1, rows: int = INCIDENT_ROWS
) -> list[dict[str, Any]]:
    """A page of the rows of fct_health__data_incidents, the newest first."""
    return reader.records(
        f"""
        select
            as_of_date,
            metric_key,
            metric_label,
            segment,
            incident_kind,
            account_count,
            dropped_account_count,
            dropped_share,
            last_good_date
        from {{marts}}.fct_health__data_incidents
        order by as_of_date desc, dropped_account_count desc, metric_key, segment
        limit {int(rows)} offset {(int(page) - 1) * int(rows)}
        """
    )


# -- from rows to figures ------------------------------------------------------------------------
@dataclass(frozen=True)
class Freshness:
    """How new a source is.

    Attributes:
        state: in_time, silent (older than the landing gate allows), no_limit, quiet (old, and no
            limit is set), empty (no row at all) or undated (its rows carry no time).
        age_days: from its newest row to the date of the scores, 0 or more; None without one.
        words: for people.
    """

    state: str
    age_days: float | None
    words: str


@dataclass(frozen=True)
class MetricStates:
    """In how many accounts a metric is in each state (of STATES)."""

    label: str
    counts: Mapping[str, int]

    @property
    def missing(self) -> int:
        """Accounts that could have it and have not."""
        return self.counts.get("unknown", 0) + self.counts.get("not_connected", 0)

    @property
    def known_share(self) -> float | None:
        """Share (0-1) of the accounts to which it applies; None where it applies to nobody."""
        known = self.counts.get("observed", 0) + self.counts.get("zero", 0)
        applies = known + self.missing
        return known / applies if applies else None


def freshness(row: Mapping[str, Any]) -> Freshness:
    """How new the source of a row of `read_sources` is."""
    newest: datetime | None = row["newest_at"]
    if newest is None:
        if row["row_count"] or row["kept_count"]:
            return Freshness("undated", None, "no time in it")
        return Freshness("empty", None, "no rows: not connected?")
    days = days_before(newest, row["as_of_date"]) or 0.0
    if row["is_in_time"] is None:
        if days > QUIET_AFTER_DAYS:
            return Freshness("quiet", days, "quiet, no limit set")
        return Freshness("no_limit", days, "no limit set")
    limit = row["limit_in_words"] or ""
    if row["is_in_time"]:
        return Freshness("in_time", days, limit)
    return Freshness("silent", days, f"silent: {limit} allowed")


def days_before(moment: datetime | None, as_of: date) -> float | None:
    """Days from a moment (UTC) to the beginning of a date, 0 or more; None without a moment."""
    if moment is None:
        return None
    return max((datetime.combine(as_of, time()) - moment).total_seconds() / 86_400, 0.0)


def age_in_words(days: float | None) -> str | None:
    """`under 1 day`, `1 day`, `40 days`; whole days that have passed."""
    if days is None:
        return None
    return "under 1 day" if days < 1 else counted(int(days), "day")


def adds_up(row: Mapping[str, Any]) -> bool:
    """Whether rows read = kept + exact duplicates + rejected, for a row of `read_sources`."""
    parts = row["kept_count"] + row["exact_duplicate_count"] + row["rejected_count"]
    return bool(row["row_count"] == parts)


def reason_in_words(reason: str) -> str:
    """Why a row was set aside; the code in words where it is none of ours."""
    return REASONS.get(reason) or in_words(reason)


def coverage_table(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, float, int]]:
    """The rows of `read_coverage` with all classes that are there, the fullest first.

    Returns:
        coverage, accounts, share 0-1, accounts of these without a score.
    """
    found = {row["coverage"]: row for row in rows}
    total = sum(row["account_count"] for row in rows)
    return [
        (
            each,
            found[each]["account_count"],
            found[each]["account_count"] / total,
            found[each]["unscored_count"],
        )
        for each in COVERAGES
        if each in found
    ]


def metric_table(rows: Sequence[Mapping[str, Any]], purpose: str) -> list[MetricStates]:
    """The metrics of a purpose from the rows of `read_states`, the most often missing first."""
    labels: dict[str, str] = {}
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["purpose"] == purpose:
            labels[row["metric_key"]] = row["metric_label"] or row["metric_key"]
            counts.setdefault(row["metric_key"], {})[row["value_state"]] = row["account_count"]
    found = [MetricStates(labels[key], counts[key]) for key in counts]
    return sorted(found, key=lambda metric: (-metric.missing, metric.label))


def headline(
    publication: Mapping[str, Any],
    sources: Sequence[Mapping[str, Any]],
    coverage: Sequence[Mapping[str, Any]],
    incidents: tuple[int, int],
) -> list[tuple[str, Any, Any]]:
    """The figures on top: what, the figure, a remark.

    Args:
        publication: the newest row of `read_publications`.
        sources: of `read_sources`.
        coverage: of `read_coverage`.
        incidents: of `count_incidents`.
    """
    warned = publication["checks_run"] - publication["checks_passed"]
    newest = publication["newest_input_at"]
    silent = sum(freshness(row).state == "silent" for row in sources)
    filled = sum(bool(row["row_count"]) for row in sources)
    read = sum(row["row_count"] for row in sources)
    rejected = sum(row["rejected_count"] for row in sources)
    accounts = sum(row["account_count"] for row in coverage)
    unscored = sum(row["unscored_count"] for row in coverage)
    every, today = incidents
    return [
        (
            "Newest data",
            age_in_words(days_before(newest, publication["as_of_date"])),
            f"{newest:%Y-%m-%d %H:%M} UTC" if newest else None,
        ),
        (
            "Checks",
            f"{publication['checks_passed']:,} of {publication['checks_run']:,}",
            f"{counted(warned, 'check')} only warned" if warned else "all held",
        ),
        ("Silent sources", f"{silent:,}", f"of {filled:,} that have rows"),
        (
            "Rejected rows",
            share(rejected / read, 1) if read else None,
            f"{rejected:,} of the {read:,} that the last run read",
        ),
        (
            "Without a score",
            f"{unscored:,}",
            f"of {counted(accounts, 'account')}"
            + (f", {share(unscored / accounts, 1)}" if accounts else ""),
        ),
        (
            "Data incidents today",
            f"{today:,}",
            f"{every - today:,} on earlier dates" if every > today else "none on earlier dates",
        ),
    ]
