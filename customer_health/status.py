"""What readers have at this moment: which publication, how old, which policy, which checks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health import data_docs
from customer_health.errors import USAGE, HealthError
from customer_health.lock import Holder, live_holder
from customer_health.publication import Publication
from customer_health.rollback import DAMAGED, WITHDRAWN, Kept, in_bytes
from customer_health.settings import Settings, today
from customer_health.warehouses import Reader, warehouse_of

_SHOWN_WARNINGS = 5
OLD_AFTER_DAYS = 2  # where the project does not set customer_health__old_after_days


@dataclass(frozen=True)
class BandCount:
    """Accounts of one band on the published date; `arr_amount` in the reporting currency."""

    band: str
    label: str
    accounts: int
    arr_amount: float


@dataclass(frozen=True)
class Warned:
    """A check that did not hold and did not stop the publication."""

    gate: str
    rule: str
    table_name: str
    column_name: str | None
    observed: str
    expected: str


@dataclass(frozen=True)
class ActionCounts:
    """The queue of actions, and how many CSMs got more than they can work on in a week.

    `week` is the Monday of the last week that is over by the published date; None without one.
    """

    open: int
    overdue: int
    week: date | None
    csms: int
    csms_over_capacity: int

    def in_words(self) -> str:
        """In one line."""
        words = f"{self.open:,} wait, {self.overdue:,} of them overdue"
        if self.week is not None:
            words += (
                f"; {self.csms_over_capacity:,} of {self.csms:,} CSMs were over capacity in the "
                f"week of {self.week}"
            )
        return words


@dataclass(frozen=True)
class Status:
    """What `status` tells. `problems` are things to mend; with any of them it exits 1."""

    home: str
    publication: Publication | None = None
    age_hours: float | None = None
    bands: list[BandCount] = field(default_factory=list)
    warned: list[Warned] = field(default_factory=list)
    actions: ActionCounts | None = None
    is_old: bool = False
    kept: list[Kept] = field(default_factory=list)
    running: Holder | None = None
    last_run: dict[str, Any] | None = None
    last_refusal: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    data_docs: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "home": self.home,
            "is_published": self.publication is not None,
            "publication": self.publication.to_summary() if self.publication else None,
            "age_hours": self.age_hours,
            "is_old": self.is_old,
            "checks": {
                "run": self.publication.checks_run,
                "passed": self.publication.checks_passed,
                "warned": [asdict(each) for each in self.warned],
            }
            if self.publication
            else None,
            "bands": [asdict(band) for band in self.bands],
            "actions": {
                **asdict(self.actions),
                "week": self.actions.week.isoformat() if self.actions.week else None,
            }
            if self.actions
            else None,
            "kept_publications": [each.to_dict() for each in self.kept],
            "run_in_progress": asdict(self.running) if self.running else None,
            "last_run": self.last_run,
            "last_refusal": self.last_refusal,
            "problems": self.problems,
            "remarks": self.remarks,
            "data_docs": self.data_docs,
        }


def read_status(settings: Settings) -> Status:
    """Look at the files; nothing is changed, and no lock is needed."""
    problems: list[str] = []
    remarks: list[str] = []
    published: Publication | None = None
    bands: list[BandCount] = []
    warned: list[Warned] = []
    actions: ActionCounts | None = None
    warehouse = warehouse_of(settings)
    kept = warehouse.list_kept()
    if warehouse.is_published():
        try:
            published, remark = warehouse.published()
            remarks.extend([remark] if remark else [])
            with warehouse.reader() as reader:
                bands = _count_bands(reader)
                warned = _warned(reader, published)
                actions = _count_actions(reader, published.as_of_date)
        except HealthError as error:
            published = None
            problems.append(_lost(f"the published copy is damaged: {error.message}", kept))
    elif kept:
        problems.append(_lost(f"{warehouse.where_readers_look()} is missing", kept))
    age = None
    is_old = False
    if published is not None:
        age = _hours_since(published.published_at)
        # Demo data stand still, so their publication cannot be called late.
        is_old = settings.demo_as_of() is None and age > 24 * _old_after_days(settings)
        remarks.extend(_remarks(settings, published, age, is_old, kept))
    docs = data_docs.page(settings.home)
    return Status(
        home=str(settings.home),
        publication=published,
        age_hours=age,
        bands=bands,
        warned=warned,
        actions=actions,
        is_old=is_old,
        kept=kept,
        running=live_holder(settings.lock),
        last_run=last_run(settings),
        last_refusal=last_run(settings, "refused"),
        problems=problems,
        remarks=remarks,
        data_docs=str(docs) if docs.is_file() else None,
    )


def _lost(what: str, kept: list[Kept]) -> str:
    """What to do about a readers' copy that is damaged or missing."""
    whole = [each for each in kept if each.state not in (DAMAGED, WITHDRAWN)]
    if whole:
        return (
            f"{what}; `customer-health rollback` puts the last whole publication back "
            f"({whole[0].publication_id})"
        )
    return f"{what}; `customer-health publish` or `customer-health run` replaces it"


def _old_after_days(settings: Settings) -> int:
    """Age in days from which a publication is called old."""
    return int(settings.project_vars.get("old_after_days") or OLD_AFTER_DAYS)


def _remarks(
    settings: Settings, published: Publication, age: float, is_old: bool, kept: list[Kept]
) -> list[str]:
    """What deserves a look about a publication that is whole."""
    found = []
    if is_old:
        found.append(
            f"published {_ago(age)} ago, scores of {published.as_of_date} (today is {today()}); "
            f"more than {_old_after_days(settings)} days are old "
            "(customer_health__old_after_days): is the daily run on?"
        )
    if published.checks_passed < published.checks_run:
        found.append(f"{published.checks_run - published.checks_passed} checks only warned")
    withdrawn = [each.publication_id for each in kept if each.state == WITHDRAWN]
    if withdrawn:
        found.append(
            f"rolled back from {withdrawn[0]}, which is kept until the next publication "
            f"(`customer-health rollback {withdrawn[0]}` goes forward again)"
        )
    return found


def _warned(reader: Reader, published: Publication) -> list[Warned]:
    """Checks of the gates that only warned, in the order of their rules.

    Raises:
        HealthError: when the copy cannot be read through.
    """
    if not reader.has("fct_health__publication_checks"):
        return []  # published by a version that did not write them
    rows = reader.rows(
        """
        select gate, rule, table_name, column_name, observed, expected
        from {marts}.fct_health__publication_checks
        where publication_id = ? and not is_passed
        order by gate desc, rule, table_name, column_name nulls first
        """,
        [published.publication_id],
    )
    return [Warned(*row) for row in rows]


def _count_bands(reader: Reader) -> list[BandCount]:
    """Accounts by band on the newest date, the best band first.

    Raises:
        HealthError: when the copy cannot be read through.
    """
    rows = reader.rows(
        """
        with

        labels as (
            select
                band,
                min(band_label) as band_label
            from {marts}.bi_health__account_360
            group by 1
        )

        select
            scores.band,
            coalesce(labels.band_label, scores.band),
            count(*),
            sum(coalesce(scores.arr_amount, 0))
        from {marts}.fct_health__account_scores as scores
        left join labels
            on scores.band = labels.band
        where
            scores.as_of_date = (
                select max(as_of_date) from {marts}.fct_health__account_scores
            )
        group by 1, 2
        order by max(scores.band_rank) desc nulls last, scores.band
        """
    )
    return [BandCount(band, label, count, float(amount)) for band, label, count, amount in rows]


def _count_actions(reader: Reader, as_of: date) -> ActionCounts | None:
    """The queue on the published date; None in publications from before there were actions."""
    if not reader.has("act_health__actions"):
        return None
    waiting, overdue = reader.rows(
        """
        select count(*), sum(case when due_date < ? then 1 else 0 end)
        from {marts}.act_health__actions
        where is_open
        """,
        [as_of],
    )[0]
    week, csms, over = reader.rows(
        """
        select
            max(week_start_date),
            count(*),
            sum(case when is_over_capacity then 1 else 0 end)
        from {marts}.act_health__csm_capacity
        where
            csm_id <> '(none)'
            and week_start_date = (
                select max(week_start_date)
                from {marts}.act_health__csm_capacity
                where week_start_date <= ?
            )
        """,
        [as_of - timedelta(days=7)],
    )[0]
    return ActionCounts(int(waiting), int(overdue or 0), week, int(csms), int(over or 0))


def last_run(settings: Settings, result: str | None = None) -> dict[str, Any] | None:
    """How the last run that ended came out, or the last with this result among those kept.

    Commands that were only called in the wrong way are left out: they say nothing about the data.
    """
    for path in sorted(settings.runs_dir.glob("*/result.json"), reverse=True):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if content.get("exit_code") == USAGE or result not in (None, content.get("result")):
            continue
        keys = ("run_id", "command", "result", "error", "started_at", "seconds")
        return {key: content[key] for key in keys if key in content}
    return None


def _hours_since(moment: datetime) -> float:
    """Hours from a naive UTC moment to now."""
    return round((datetime.now(UTC).replace(tzinfo=None) - moment).total_seconds() / 3600, 2)


def _ago(hours: float) -> str:
    """Hours in words: `40 minutes`, `30 hours`, `12 days`."""
    if hours < 2:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"


def render(status: Status, console: Console) -> None:
    """Print the status for a person."""
    published = status.publication
    if published is None:
        console.print("[bold]Nothing is published.[/bold]" if not status.problems else "")
    else:
        _render_publication(status, published, console)
    if status.running is not None:
        console.print(escape(status.running.in_words()), style="yellow", soft_wrap=True)
    last = status.last_run
    if last is not None and last["result"] != "ok":
        console.print(
            f"last {escape(last['command'])} ({escape(last['run_id'])}) was {last['result']}"
            + (f": {escape(last['error'])}" if "error" in last else ""),
            style="yellow",
            soft_wrap=True,
        )
    refusal = status.last_refusal
    if refusal is not None and (last is None or refusal.get("run_id") != last.get("run_id")):
        console.print(
            f"before that, {escape(refusal['command'])} ({escape(refusal['run_id'])}) was refused: "
            f"{escape(refusal.get('error', ''))}",
            style="dim",
            soft_wrap=True,
        )
    for remark in status.remarks:
        console.print(f"note: {escape(remark)}", style="yellow", soft_wrap=True)
    if status.data_docs is not None:
        console.print(
            f"Data Docs: {escape(status.data_docs)}", style="dim", soft_wrap=True, highlight=False
        )
    if published is None and not status.problems:
        console.print(
            "Next: `customer-health demo` makes demo data and runs the whole way; with raw tables "
            f"in {escape(status.home)}/landing.duckdb it is `customer-health run`.",
            soft_wrap=True,
        )


def _kept_in_words(kept: list[Kept]) -> str:
    """How many publications are kept, back to when, and what they take."""
    if not kept:
        return "none"
    size = in_bytes(sum(each.size_bytes for each in kept))
    damaged = sum(each.state == DAMAGED for each in kept)
    oldest = kept[-1].as_of_date
    return (
        f"{len(kept)} publication{'s' if len(kept) > 1 else ''}"
        + (f" back to {oldest}" if oldest else "")
        + f", {size}"
        + (f", {damaged} damaged" if damaged else "")
        + " (customer-health rollback --list)"
    )


def _render_publication(status: Status, published: Publication, console: Console) -> None:
    """Facts of the publication and its accounts by band."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    newest = published.newest_input_at
    unscored = published.account_count - published.scored_account_count
    for label, text in (
        ("Published", f"{published.publication_id}, {_ago(status.age_hours or 0)} ago"),
        ("Scores of", f"{published.as_of_date}" + (" (backfill)" if published.is_backfill else "")),
        ("Policy", f"version {published.scoring_version}, hash {published.policy_hash[:12]}"),
        ("Code", published.git_sha or "not in git"),
        ("Checks", f"{published.checks_passed} of {published.checks_run} passed"),
        ("Newest data", f"{newest:%Y-%m-%d %H:%M} UTC" if newest else "unknown"),
        (
            "Accounts",
            f"{published.account_count:,}, {unscored:,} of them without a score"
            if unscored
            else f"{published.account_count:,}",
        ),
        *((("Actions", status.actions.in_words()),) if status.actions else ()),
        ("Kept", _kept_in_words(status.kept)),
    ):
        facts.add_row(label, escape(text))
    console.print(facts)
    for each in status.warned[:_SHOWN_WARNINGS]:
        column = f".{each.column_name}" if each.column_name else ""
        console.print(
            f"warned: {each.gate} gate, {escape(each.table_name + column)} ({escape(each.rule)}): "
            f"{escape(each.observed)}; expected {escape(each.expected)}",
            style="yellow",
            soft_wrap=True,
            highlight=False,
        )
    if len(status.warned) > _SHOWN_WARNINGS:
        console.print(f"{len(status.warned) - _SHOWN_WARNINGS} more warned (--json lists them)")
    if not status.bands:
        return
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
    table.add_column("Band")
    table.add_column("Accounts", justify="right")
    table.add_column("Share", justify="right")
    table.add_column("ARR", justify="right")
    total = sum(band.accounts for band in status.bands)
    for band in status.bands:
        table.add_row(
            escape(band.label.replace("_", " ").capitalize()),
            f"{band.accounts:,}",
            f"{100 * band.accounts / total:.0f}%",
            f"{band.arr_amount:,.0f}",
        )
    console.print(table)
