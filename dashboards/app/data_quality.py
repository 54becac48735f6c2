"""Data quality: publications, checks, sources, rejected rows, coverage and incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import frame
import streamlit as st
from frame import View
from markupsafe import Markup

from customer_health.dashboard import actions, html, quality
from customer_health.dashboard.html import Column
from customer_health.dashboard.quality import Checks
from customer_health.errors import HealthError
from customer_health.rollback import in_bytes
from customer_health.settings import Settings
from customer_health.status import Status, read_status
from customer_health.validation.report import share

# A page is drawn anew at every click, and runs take minutes.
_STATUS_SECONDS = 10
_SHOWN_PROBLEM = 600


def show(view: View) -> None:
    """Draw the page."""
    status = _status_of(view)
    if isinstance(status, Status):
        _runs(status)
    else:
        frame.place(html.listed((f"What runs are doing is not known: {status}",)))
    publication_id, as_of = view.pinned.publication_id, view.pinned.as_of_date
    publication = view.ask(quality.read_publications, 1, 1)[0]
    sources = view.ask(quality.read_sources, publication_id, as_of)
    coverage = view.ask(quality.read_coverage)
    incidents = view.ask(quality.count_incidents, as_of)
    frame.place(html.tiles(quality.headline(publication, sources, coverage, incidents)))
    _publication(publication)
    _checks(view)
    _sources(sources)
    _rejected(view)
    _coverage(view, coverage)
    _incidents(view, incidents[0])
    _publications(view, status if isinstance(status, Status) else None)


# -- runs ----------------------------------------------------------------------------------------
def _status_of(view: View) -> Status | str:
    """What runs are doing, or why that is not known."""
    return _kept_status(str(view.settings.home), view.pinned.version, _settings=view.settings)


@st.cache_data(show_spinner=False, ttl=_STATUS_SECONDS, max_entries=20)
def _kept_status(home: str, version: str, *, _settings: Settings) -> Status | str:
    """The status for some seconds, by home and publication; the settings are no part of the key."""
    try:
        return read_status(_settings)
    except HealthError as error:
        return error.message


def _runs(status: Status) -> None:
    """Runs that were refused or are going on, and what to do."""
    last, refusal = status.last_run, status.last_refusal
    told: list[Any] = []
    if last is not None and last["result"] != "ok":
        result = actions.in_words(last["result"]).lower()
        st.warning(
            f"The last run was {result}, so readers still have the publication below. Mend what it "
            "names and start it again; expectations/README.md says which checks a person can "
            "accept.",
            icon=":material/block:",
        )
        told.append(_run(last))
    elif refusal is not None:
        st.caption("The last run went through; before it one was refused:")
        told.append(_run(refusal))
    told += [status.running.in_words()] if status.running else []
    told += status.problems + status.remarks
    if told:
        frame.place(html.listed(told))


def _run(run: Mapping[str, Any]) -> Markup:
    """A run and what it said."""
    said = " ".join(str(run.get("error") or "it left no message").split())
    shown = said if len(said) <= _SHOWN_PROBLEM else f"{said[: _SHOWN_PROBLEM - 1].rstrip()}…"
    begun = str(run.get("started_at", "")).replace("T", " ").removesuffix("+00:00")
    return Markup("{} <small>{}</small>").format(
        html.cell(shown),
        html.joined((run["command"], run["run_id"], f"{begun} UTC" if begun else None)),
    )


# -- publications --------------------------------------------------------------------------------
def _publication(publication: Mapping[str, Any]) -> None:
    """What readers have."""
    st.subheader("What readers have")
    newest = publication["newest_input_at"]
    frame.place(
        html.listed(
            (
                f"Publication {publication['publication_id']}, published "
                f"{publication['published_at']:%Y-%m-%d %H:%M} UTC"
                + (", a backfill" if publication["is_backfill"] else ""),
                f"Policy {publication['scoring_version'] or 'unknown'}, hash "
                f"{publication['policy_hash'] or 'unknown'}",
                f"Code {publication['git_sha'] or 'not in git'}",
                f"Newest input {newest:%Y-%m-%d %H:%M:%S} UTC" if newest else "No input has a time",
            )
        )
    )


def _publications(view: View, status: Status | None) -> None:
    """The last publications, and which of them can be brought back."""
    st.subheader("Last publications")
    kept = {each.publication_id: each for each in status.kept} if status else {}
    if kept:
        size = in_bytes(sum(each.size_bytes for each in kept.values()))
        st.caption(
            f"{actions.counted(len(kept), 'copy is', 'copies are')} kept ({size}); "
            "`customer-health rollback` brings one back."
        )
    page = frame.pages_of(
        view.ask(quality.count_publications), quality.PUBLICATION_ROWS, "publications"
    )
    frame.table(
        (
            Column("Scores of"),
            Column("Published, UTC"),
            Column("Policy"),
            Column("Policy hash"),
            Column("Code"),
            Column("Accounts", is_number=True),
            Column("Without a score", is_number=True),
            Column("Checks"),
            Column("Newest input, UTC"),
            Column("Copy"),
        ),
        [
            (
                html.joined((row["as_of_date"], "backfill" if row["is_backfill"] else None)),
                f"{row['published_at']:%Y-%m-%d %H:%M}",
                row["scoring_version"],
                (row["policy_hash"] or "")[:12],
                (row["git_sha"] or "")[:12],
                f"{row['account_count']:,}",
                f"{row['account_count'] - row['scored_account_count']:,}",
                _held(row["checks_run"], row["checks_passed"]),
                f"{row['newest_input_at']:%Y-%m-%d %H:%M}" if row["newest_input_at"] else None,
                kept[row["publication_id"]].state if row["publication_id"] in kept else "not kept",
            )
            for row in view.ask(quality.read_publications, page)
        ],
        "Last publications",
        "Nothing is published yet: start `customer-health run`.",
    )


def _held(run: int, passed: int) -> Markup:
    """How many checks held, by icon and words."""
    if run == passed:
        return html.mark("good", "✓", f"all {run:,} held")
    return html.mark("warn", "!", f"{run - passed:,} of {run:,} warned")


# -- checks --------------------------------------------------------------------------------------
def _checks(view: View) -> None:
    """What was checked; what did not hold first."""
    st.subheader("Checks of this publication")
    every = Checks(view.pinned.publication_id)
    tables = view.ask(quality.read_gates, every)
    count = sum(row["check_count"] for row in tables)
    warned = sum(row["warned_count"] for row in tables)
    if not count:
        st.info(
            "This publication lists no checks: it was made by a version that did not write them. "
            "The next `customer-health run` does.",
            icon=":material/info:",
        )
        return
    st.caption(
        f"{actions.counted(count, 'check')} of the quality gates are listed here. The other "
        f"{max(view.pinned.checks_run - count, 0):,} of {view.pinned.checks_run:,} are tests of "
        "the models; Data Docs and the log of the run have them."
    )
    if warned:
        frame.place(
            _checks_table(
                view.ask(quality.read_checks, every, 1, min(warned, quality.FAILED_ROWS)),
                "Checks that did not hold",
            )
        )
        if warned > quality.FAILED_ROWS:
            st.caption(f"{warned - quality.FAILED_ROWS:,} more in the list of all checks.")
    by_gate = [
        (
            words,
            sum(row["check_count"] for row in tables if row["gate"] == gate),
            sum(row["warned_count"] for row in tables if row["gate"] == gate),
        )
        for gate, words in quality.GATES.items()
    ]
    frame.table(
        (
            Column("Gate"),
            Column("Checks", is_number=True),
            Column("Warned", is_number=True),
            Column("Result"),
        ),
        [
            (words, f"{run:,}", f"{failed:,}", _held(run, run - failed))
            for words, run, failed in by_gate
            if run
        ],
        "Checks by gate",
        "",
    )
    with st.expander(f"All {count:,} checks", key="all_checks", bind="query-params") as folded:
        if folded.open:
            _all_checks(view, sorted({row["table_name"] for row in tables}))


def _all_checks(view: View, tables: Sequence[str]) -> None:
    """The list of all checks with its filters."""
    one, other = st.columns((1, 2))
    with one:
        gate = st.segmented_control(
            "Gate",
            list(quality.GATES),
            format_func=lambda key: quality.GATES[key],
            key="gate",
            bind="query-params",
        )
    with other:
        chosen = st.multiselect(
            "Table", tables, key="table", bind="query-params", placeholder="All"
        )
    asked = Checks(view.pinned.publication_id, gate, tuple(chosen))
    found = sum(row["check_count"] for row in view.ask(quality.read_gates, asked))
    if not found:
        st.info("No check matches. Clear a filter.", icon=":material/info:")
        return
    page = frame.pages_of(found, quality.CHECK_ROWS, "checks")
    frame.place(_checks_table(view.ask(quality.read_checks, asked, page), "All checks"))


def _checks_table(rows: Sequence[Mapping[str, Any]], caption: str) -> Markup:
    """Checks with what was found and what is allowed."""
    return html.table(
        (
            Column("Result"),
            Column("Gate"),
            Column("Table"),
            Column("Column"),
            Column("Rule"),
            Column("Severity"),
            Column("Found", is_text=True),
            Column("Allowed", is_text=True),
            Column("Rows", is_number=True),
        ),
        [
            (
                html.mark("good", "✓", "held")
                if row["is_passed"]
                else html.mark("bad", "✕", "failed")
                if row["severity"] == "critical"
                else html.mark("warn", "!", "warned"),
                quality.GATES.get(row["gate"], row["gate"]),
                html.name(row["table_name"]),
                html.name(row["column_name"]) if row["column_name"] else None,
                row["rule"],
                row["severity"],
                row["observed"],
                row["expected"],
                None if row["bad_row_count"] is None else f"{row['bad_row_count']:,}",
            )
            for row in rows
        ],
        caption,
    )


# -- sources -------------------------------------------------------------------------------------
_FRESH_MARKS = {
    "in_time": ("good", "✓"),
    "silent": ("bad", "✕"),
    "no_limit": ("unknown", "–"),
    "quiet": ("warn", "!"),
    "empty": ("unknown", "?"),
    "undated": ("unknown", "–"),
}


def _sources(sources: Sequence[Mapping[str, Any]]) -> None:
    """How new each source is, and what became of its rows."""
    st.subheader("Sources")
    st.caption(
        "Rows that the last run read = kept + exact duplicates + rejected. Of events and daily "
        "usage a run reads the days that it builds again, so that these are no totals. Age: from "
        "the newest row to the date of the scores."
    )
    frame.table(
        (
            Column("Source"),
            Column("Newest row, UTC"),
            Column("Age"),
            Column("In time?"),
            Column("Read", is_number=True),
            Column("Kept", is_number=True),
            Column("Duplicates", is_number=True),
            Column("Rejected", is_number=True),
            Column("Share", is_number=True),
            Column("Adds up?"),
        ),
        [_source(row) for row in sources],
        "Rows and age by source",
        "This publication says nothing about its sources: it was made by a version that did not "
        "count them. The next `customer-health run` does.",
    )


def _source(row: Mapping[str, Any]) -> tuple[Any, ...]:
    fresh = quality.freshness(row)
    kind, icon = _FRESH_MARKS[fresh.state]
    return (
        html.name(row["source_table"]),
        f"{row['newest_at']:%Y-%m-%d %H:%M}" if row["newest_at"] else None,
        quality.age_in_words(fresh.age_days),
        html.mark(kind, icon, fresh.words),
        f"{row['row_count']:,}",
        f"{row['kept_count']:,}",
        f"{row['exact_duplicate_count']:,}",
        f"{row['rejected_count']:,}",
        share(row["rejected_count"] / row["row_count"], 1) if row["row_count"] else None,
        html.mark("good", "✓", "yes") if quality.adds_up(row) else html.mark("bad", "✕", "no"),
    )


def _rejected(view: View) -> None:
    """What is missing from the scores, and why."""
    st.subheader("Rejected rows")
    rows = view.ask(quality.read_rejected, view.pinned.as_of_date)
    sources = sorted({row["source_table"] for row in rows})
    if rows:
        st.caption(
            "Rows that runs set aside; the share is of the rows that the last run read. "
            "fct_health__rejected_rows has the id of each one."
        )
        chosen = st.multiselect(
            "Source", sources, key="source", bind="query-params", placeholder="All"
        )
        rows = [row for row in rows if not chosen or row["source_table"] in chosen]
    page = frame.pages_of(len(rows), quality.REJECTED_ROWS, "rejected")
    start = (page - 1) * quality.REJECTED_ROWS
    frame.table(
        (
            Column("Source"),
            Column("Reason", is_text=True),
            Column("By the last run", is_number=True),
            Column("Share", is_number=True),
            Column("By all runs", is_number=True),
            Column("First seen"),
            Column("Last seen"),
        ),
        [
            (
                html.name(row["source_table"]),
                html.joined(
                    (quality.reason_in_words(row["rejection_reason"]), row["rejection_reason"])
                ),
                f"{row['current_count']:,}",
                share(row["current_count"] / row["read_count"], 2) if row["read_count"] else None,
                f"{row['row_count']:,}",
                html.day(row["first_seen_date"]),
                html.day(row["last_seen_date"]),
            )
            for row in rows[start : start + quality.REJECTED_ROWS]
        ],
        "Rejected rows by source and reason",
        "No run has set a row aside. Rows without an id, of unknown accounts, from the future and "
        "the like would be counted here.",
    )


# -- coverage and incidents ----------------------------------------------------------------------
def _coverage(view: View, coverage: Sequence[Mapping[str, Any]]) -> None:
    """How much of the scores is known, and what is missing."""
    st.subheader("Coverage")
    st.caption(
        "Share of the weight that applies to an account whose metrics are known. A source that is "
        "not connected does not lower it."
    )
    frame.table(
        (
            Column("Known"),
            Column("Accounts", is_number=True),
            Column("Share", is_number=True),
            Column("Without a score", is_number=True),
        ),
        [
            (each, f"{count:,}", share(part, 1), f"{unscored:,}")
            for each, count, part, unscored in quality.coverage_table(coverage)
        ],
        "Accounts by coverage",
        "Nobody is a customer on this date, so nothing is covered.",
    )
    _metrics(view)


def _metrics(view: View) -> None:
    """Which metrics are missing how often."""
    states = view.ask(quality.read_states, view.pinned.as_of_date)
    purposes = sorted({row["purpose"] for row in states}, key=lambda key: (key != "health", key))
    if not purposes:
        st.info("No metric was measured on this date.", icon=":material/info:")
        return
    purpose = st.segmented_control(
        "Scorecard for",
        purposes,
        default=purposes[0],
        required=True,
        format_func=actions.in_words,
        key="purpose",
        bind="query-params",
    )
    st.caption("Known: of the accounts to which the metric applies. The others are accounts.")
    found = quality.metric_table(states, purpose or purposes[0])
    shown = [
        state
        for state in quality.STATES
        if state in ("observed", "unknown") or any(metric.counts.get(state) for metric in found)
    ]
    frame.table(
        (
            Column("Metric", is_text=True),
            Column("Known", is_number=True),
            *(Column(quality.STATES[state], is_number=True) for state in shown),
        ),
        [
            (
                metric.label,
                share(metric.known_share, 1),
                *(
                    f"{metric.counts[state]:,}" if metric.counts.get(state) else html.cell("·")
                    for state in shown
                ),
            )
            for metric in found
        ],
        "Accounts by metric and state of its value, the most often missing first",
        "",
    )


def _incidents(view: View, count: int) -> None:
    """Days on which the data are to blame."""
    st.subheader("Data incidents")
    page = frame.pages_of(count, quality.INCIDENT_ROWS, "incidents")
    frame.table(
        (
            Column("Scores of"),
            Column("Metric", is_text=True),
            Column("Segment"),
            Column("What happened", is_text=True),
            Column("Accounts that dropped", is_number=True),
            Column("Share", is_number=True),
            Column("Held at the values of"),
        ),
        [
            (
                html.day(row["as_of_date"]),
                row["metric_label"] or row["metric_key"],
                html.name(row["segment"], 24) if row["segment"] else "(none)",
                quality.KINDS.get(row["incident_kind"], row["incident_kind"]),
                f"{row['dropped_account_count']:,} of {row['account_count']:,}",
                share(row["dropped_share"]),
                html.day(row["last_good_date"]) or html.mark("warn", "!", "not held"),
            )
            for row in view.ask(quality.read_incidents, page)
        ],
        "Data incidents",
        "None was found. One is a day on which a metric drops for so many accounts of a segment at "
        "once that the data are to blame: its last good values are then held, and no action fires.",
    )
