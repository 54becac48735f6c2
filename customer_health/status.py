"""What readers have at this moment: which publication, how old, which policy, which checks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health.errors import HealthError, first_line
from customer_health.lock import Holder, live_holder
from customer_health.publication import (
    ACCOUNT_SCORES,
    MARTS_SCHEMA,
    Publication,
    open_published,
    publications_in,
    read_manifest,
)
from customer_health.settings import Settings, today

# A daily run that was missed for a whole day deserves a look.
OLD_AFTER_HOURS = 36


@dataclass(frozen=True)
class BandCount:
    """Accounts of one band on the published date; `arr_amount` in the reporting currency."""

    band: str
    label: str
    accounts: int
    arr_amount: float


@dataclass(frozen=True)
class Status:
    """What `status` tells. `problems` are things to mend; with any of them it exits 1."""

    home: str
    publication: Publication | None = None
    age_hours: float | None = None
    bands: list[BandCount] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    running: Holder | None = None
    last_run: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "home": self.home,
            "is_published": self.publication is not None,
            "publication": self.publication.to_dict() if self.publication else None,
            "age_hours": self.age_hours,
            "bands": [asdict(band) for band in self.bands],
            "kept_publications": self.kept,
            "run_in_progress": asdict(self.running) if self.running else None,
            "last_run": self.last_run,
            "problems": self.problems,
            "remarks": self.remarks,
        }


def read_status(settings: Settings) -> Status:
    """Look at the files; nothing is changed, and no lock is needed."""
    problems: list[str] = []
    remarks: list[str] = []
    published: Publication | None = None
    bands: list[BandCount] = []
    kept = _kept_ids(settings)
    if settings.published.exists():
        try:
            published = _published(settings, remarks)
            bands = _count_bands(settings)
        except HealthError as error:
            published = None
            problems.append(_damaged(error, kept))
    elif kept:
        problems.append(
            f"{settings.published.name} is missing: `customer-health publish` puts a new one in "
            f"place; publications/{kept[0]}.duckdb is the last one"
        )
    age = None
    if published is not None:
        age = _hours_since(published.published_at)
        remarks.extend(_remarks(settings, published, age))
    return Status(
        home=str(settings.home),
        publication=published,
        age_hours=age,
        bands=bands,
        kept=kept,
        running=live_holder(settings.lock),
        last_run=_last_run(settings),
        problems=problems,
        remarks=remarks,
    )


def _published(settings: Settings, remarks: list[str]) -> Publication:
    """The publication inside the readers' copy, with the parts of its manifest."""
    newest = publications_in(settings.published)[0]
    kept_manifest = settings.publications_dir / f"{newest.publication_id}.json"
    for path in (settings.manifest, kept_manifest):
        manifest = read_manifest(path)
        if manifest is not None and manifest.publication_id == newest.publication_id:
            return manifest
    remarks.append(
        f"{settings.manifest.name} is missing or of another publication; the next run repairs it"
    )
    return newest


def _damaged(error: HealthError, kept: list[str]) -> str:
    """What to do about a readers' copy that cannot be read."""
    fix = "`customer-health publish` or `customer-health run` replaces it"
    if kept:
        fix += f"; until then readers can use publications/{kept[0]}.duckdb"
    return f"the published copy is damaged: {error.message}; {fix}"


def _remarks(settings: Settings, published: Publication, age: float) -> list[str]:
    """What deserves a look about a publication that is whole."""
    found = []
    # Demo data stand still, so their publication cannot be called late.
    if settings.demo_as_of() is None and age > OLD_AFTER_HOURS:
        found.append(
            f"published {_ago(age)} ago, scores of {published.as_of_date} (today is {today()}): "
            "is the daily run on?"
        )
    if published.checks_passed < published.checks_run:
        found.append(f"{published.checks_run - published.checks_passed} checks only warned")
    return found


def _count_bands(settings: Settings) -> list[BandCount]:
    """Accounts by band on the newest date, the best band first.

    Raises:
        HealthError: when the copy cannot be read through.
    """
    try:
        with open_published(settings.published) as connection:
            rows = connection.execute(
                f"""
                with

                labels as (
                    select
                        band,
                        min(band_label) as band_label
                    from {MARTS_SCHEMA}.bi_health__account_360
                    group by 1
                )

                select
                    scores.band,
                    coalesce(labels.band_label, scores.band),
                    count(*),
                    sum(coalesce(scores.arr_amount, 0))::double
                from {ACCOUNT_SCORES} as scores
                left join labels
                    on scores.band = labels.band
                where scores.as_of_date = (select max(as_of_date) from {ACCOUNT_SCORES})
                group by all
                order by max(scores.band_rank) desc nulls last, scores.band
                """
            ).fetchall()
    except duckdb.Error as error:
        raise HealthError(first_line(str(error), 160)) from error
    return [BandCount(*row) for row in rows]


def _kept_ids(settings: Settings) -> list[str]:
    """Ids of the kept publications, the newest first."""
    manifests = [read_manifest(path) for path in settings.publications_dir.glob("*.json")]
    known = [manifest for manifest in manifests if manifest is not None]
    known.sort(key=lambda manifest: manifest.published_at, reverse=True)
    return [manifest.publication_id for manifest in known]


def _last_run(settings: Settings) -> dict[str, Any] | None:
    """How the last run that ended came out."""
    for path in sorted(settings.runs_dir.glob("*/result.json"), reverse=True):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
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
    for remark in status.remarks:
        console.print(f"note: {escape(remark)}", style="yellow", soft_wrap=True)
    if published is None and not status.problems:
        console.print(
            "Next: `customer-health demo` makes demo data and runs the whole way; with raw tables "
            f"in {escape(status.home)}/landing.duckdb it is `customer-health run`.",
            soft_wrap=True,
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
        ("Kept", f"{len(status.kept)} of the last publications"),
    ):
        facts.add_row(label, escape(text))
    console.print(facts)
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
