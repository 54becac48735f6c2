"""`customer-health sync status`: what each destination has, what waits, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health.errors import HealthError
from customer_health.lock import Holder, live_holder
from customer_health.settings import Settings
from customer_health.sync import ledger as ledgers
from customer_health.sync.config import Destination
from customer_health.sync.ledger import Ledger
from customer_health.sync.mapping import Published
from customer_health.sync.plan import make_plan
from customer_health.sync.run import refusals
from customer_health.sync.source import mapping_of, read
from customer_health.warehouses import warehouse_of

SHOWN_SYNCS = 5
SHOWN_REASONS = 5

TEACHING = """\
No CRM is connected yet: there is no sync.yml in {folder}.

  1. Copy sync.example.yml of customer_health to sync.yml in that folder and keep one destination.
  2. Make the fields that it names in the CRM, and put the token into the environment variable that
     it names (docs/sync.md says which fields and rights, for each CRM).
  3. `customer-health sync DESTINATION --dry-run` shows what would be sent.
  4. `customer-health sync DESTINATION` sends it; run it after each `customer-health run`.
"""


@dataclass
class DestinationStatus:
    """What is known about one destination.

    Attributes:
        name: of the destination.
        type: of the destination.
        records: what it gets.
        confirmed_publication: that it confirmed last; None before the first.
        publication_age_hours: of that publication, since it was published.
        confirmed: records that it has from us.
        unsure: records whose answer never came.
        rejected: records that it rejected, to be sent again.
        dead: records that it rejected too often.
        waiting: records that would be sent now, by reason; None where it cannot be said.
        rejections: reasons with counts and examples.
        dead_letters: reasons with counts and examples.
        syncs: the last ones.
        running: who syncs at this moment.
        problems: what is wrong; with any of them `status` exits 1.
        remarks: what deserves a look.
    """

    name: str
    type: str
    records: str
    confirmed_publication: Published | None = None
    publication_age_hours: float | None = None
    confirmed: int = 0
    unsure: int = 0
    rejected: int = 0
    dead: int = 0
    waiting: dict[str, int] | None = None
    rejections: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    syncs: list[dict[str, Any]] = field(default_factory=list)
    running: Holder | None = None
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        written = asdict(self)
        published = self.confirmed_publication
        if published is not None:
            written["confirmed_publication"] = {
                "publication_id": published.publication_id,
                "published_at": f"{published.published_at.isoformat()}Z",
                "as_of_date": published.as_of_date.isoformat(),
            }
        if self.waiting is not None:
            written["waiting_count"] = sum(self.waiting.values())
        return written


def read_status(
    settings: Settings, destinations: Mapping[str, Destination]
) -> list[DestinationStatus]:
    """Look at the ledgers and at what readers have; nothing is changed, and no lock is needed."""
    return [_status(settings, destination) for destination in destinations.values()]


def _status(settings: Settings, destination: Destination) -> DestinationStatus:
    """One destination."""
    found = DestinationStatus(destination.name, str(destination.kind), str(destination.records))
    lock = ledgers.folder_of(settings) / f"{destination.name}.lock"
    found.running = live_holder(lock)
    try:
        with ledgers.looked_at(ledgers.path_of(settings, destination.name)) as ledger:
            if ledger is not None:
                ledger.check_identity(destination.identity())
                _read_ledger(found, ledger)
            _read_plan(found, settings, destination, ledger)
    except HealthError as error:
        found.problems.append(error.message)
    return found


def _read_ledger(found: DestinationStatus, ledger: Ledger) -> None:
    """What the ledger says."""
    totals = ledger.totals()
    found.confirmed, found.unsure = totals["confirmed"], totals["unsure"]
    found.rejected, found.dead = totals["rejected"], totals["dead"]
    found.rejections = ledger.refusals(dead=False)
    found.dead_letters = ledger.refusals(dead=True)
    found.syncs = ledger.syncs(SHOWN_SYNCS)
    found.confirmed_publication = ledger.last_confirmed()
    if found.confirmed_publication is not None:
        age = datetime.now(UTC).replace(tzinfo=None) - found.confirmed_publication.published_at
        found.publication_age_hours = round(age.total_seconds() / 3600, 2)
    last = found.syncs[0] if found.syncs else None
    if last is not None and found.running is None:
        if last["outcome"] is None:
            found.remarks.append(
                f"the sync of {last['started_at']} was killed; the next one goes on where it was"
            )
        elif last["outcome"] != ledgers.OK:
            found.remarks.append(
                f"the sync of {last['started_at']} was {last['outcome']}"
                + (f": {last['error']}" if last["error"] else "")
            )


def _read_plan(
    found: DestinationStatus, settings: Settings, destination: Destination, ledger: Ledger | None
) -> None:
    """What would be sent now, and whether it may be."""
    warehouse = warehouse_of(settings)
    if not warehouse.is_published():
        found.remarks.append(f"nothing is published in {warehouse.where_readers_look()}")
        return
    mapping = mapping_of(destination)
    published, rows = read(warehouse, destination, mapping)
    plan = make_plan(rows, ledger.records() if ledger else {}, mapping)
    counts = plan.counts()
    found.waiting = {name: counts[name] for name in ("new", "changed", "again", "cleared")}
    accepted = ledger.accepted(published) if ledger else (False, False)
    for refusal in refusals(destination, published, plan, ledger, *accepted):
        found.remarks.append(f"a sync would be refused: {refusal.message}")
    last = found.confirmed_publication
    if last is not None and last.publication_id != published.publication_id:
        found.remarks.append(
            f"readers have {published.publication_id}: `customer-health sync {destination.name}`"
        )


def render(statuses: list[DestinationStatus], console: Console) -> None:
    """Print the status for a person."""
    for number, each in enumerate(statuses):
        if number:
            console.print()
        console.print(f"[bold]{escape(each.name)}[/bold] ({each.type}, {each.records})")
        _render_facts(each, console)
        for title, reasons in (("rejected", each.rejections), ("dead letters", each.dead_letters)):
            _render_reasons(title, reasons, console)
        _render_syncs(each, console)
        if each.running is not None:
            console.print(escape(each.running.in_words()), style="yellow", soft_wrap=True)
        for remark in each.remarks:
            console.print(f"note: {escape(remark)}", style="yellow", soft_wrap=True)


def _render_facts(each: DestinationStatus, console: Console) -> None:
    """Publication and counts."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    published = each.confirmed_publication
    if published is None:
        facts.add_row("Has", "nothing from us yet")
    else:
        hours = each.publication_age_hours or 0
        age = f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
        facts.add_row(
            "Has",
            f"{published.publication_id}, scores of {published.as_of_date}, published {age} ago",
        )
    relation = escape(each.records)
    facts.add_row("Confirmed", f"{each.confirmed:,} {relation}")
    if each.waiting is None:
        facts.add_row("Waiting", "unknown")
    else:
        parts = [f"{count:,} {name}" for name, count in each.waiting.items() if count]
        total = sum(each.waiting.values())
        facts.add_row("Waiting", f"{total:,} ({', '.join(parts)})" if parts else "none")
    if each.unsure:
        facts.add_row("Unsure", f"{each.unsure:,}, their answer never came; they are sent again")
    facts.add_row("Rejected", f"{each.rejected:,}")
    facts.add_row("Dead letters", f"{each.dead:,}")
    console.print(facts)


def _render_reasons(title: str, reasons: list[dict[str, Any]], console: Console) -> None:
    """Why records were rejected, with some of their keys."""
    for each in reasons[:SHOWN_REASONS]:
        more = ", …" if each["records"] > len(each["keys"]) else ""
        console.print(
            f"{title}: {each['records']:,} × {escape(each['reason'])} "
            f"({escape(', '.join(each['keys']))}{more}; since {each['since']})",
            style="yellow",
            soft_wrap=True,
            highlight=False,
        )
    if len(reasons) > SHOWN_REASONS:
        console.print(f"{len(reasons) - SHOWN_REASONS} more reasons (--json lists them)")


def _render_syncs(each: DestinationStatus, console: Console) -> None:
    """The last syncs."""
    if not each.syncs:
        return
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("Sync of (UTC)", no_wrap=True)
    table.add_column("Publication", no_wrap=True)
    for name in ("Sent", "Confirmed", "Rejected"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in each.syncs:
        sent = sum(row[f"{name}_count"] for name in ("new", "changed", "again", "cleared"))
        is_running = row["outcome"] is None and each.running is not None and row is each.syncs[0]
        table.add_row(
            row["started_at"],
            escape(row["publication_id"]),
            f"{sent:,}",
            f"{row['confirmed_count']:,}",
            f"{row['rejected_count']:,}",
            "running" if is_running else row["outcome"] or "killed",
        )
    console.print(table)


def teach(settings: Settings) -> str:
    """How to begin, where there is no configuration yet."""
    return TEACHING.format(folder=settings.project_dir)
