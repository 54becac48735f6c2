"""One sync: plan, send, acknowledge.

The order of what reaches the disk is the guarantee. Before a batch is sent, its records are marked
as unsure; after its answer, they are confirmed, rejected or waiting, in the same step in which the
next batch is marked. Whenever the process dies, the ledger claims nothing that was not confirmed,
and knows of every record that the destination may have; what is unsure is sent again, which does
no harm, since every sending states the whole record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health.errors import HealthError, UsageError
from customer_health.progress import Reporter
from customer_health.settings import Settings
from customer_health.sync import ledger as ledgers
from customer_health.sync.answers import Answer, BatchFailed, BatchRefused, Sender
from customer_health.sync.config import Destination, Kind, read_secrets
from customer_health.sync.ledger import Confirmed, Ledger, Rejected, Settled, Sync, Waiting
from customer_health.sync.mapping import FieldMapping, Published
from customer_health.sync.plan import (
    Item,
    Plan,
    make_plan,
    refuse_older,
    refuse_upheaval,
)
from customer_health.sync.source import mapping_of, read, relation_of
from customer_health.warehouses import warehouse_of

EXAMPLES = 5


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    dry_run: bool = False
    accept_changes: bool = False
    accept_older: bool = False
    retry_dead: bool = False


@dataclass
class Result:
    """What a sync did, or with --dry-run would do.

    Attributes:
        destination: its name.
        published: the publication.
        counts: records of the plan by what happens to them.
        retried: records among them whose payload was rejected before.
        moves: (band at the destination, band now, records), the most frequent first.
        examples: some records: key, why, hash before and now, fields.
        would_be_refused: of a dry run: why the sync would be refused.
        confirmed: records that the destination took.
        rejected: records that it did not, by reason.
        dead: rejected records that are dead letters from now on.
        requests: number of requests.
        file: of a destination of files: what was written.
    """

    destination: str
    published: Published
    counts: dict[str, int]
    retried: int = 0
    moves: list[tuple[str | None, str | None, int]] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)
    would_be_refused: list[str] = field(default_factory=list)
    confirmed: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    dead: int = 0
    requests: int = 0
    file: str | None = None

    @property
    def to_send(self) -> int:
        """Records of the plan that are sent."""
        return sum(self.counts[name] for name in ("new", "changed", "again", "cleared"))

    @property
    def waiting(self) -> int:
        """Records that were neither taken nor rejected."""
        return self.to_send - self.confirmed - sum(self.rejected.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "destination": self.destination,
            "publication_id": self.published.publication_id,
            "published_at": f"{self.published.published_at.isoformat()}Z",
            "as_of_date": self.published.as_of_date.isoformat(),
            "plan": self.counts | {"to_send": self.to_send, "rejected_before": self.retried},
            "band_changes": [
                {"from": before, "to": after, "records": count}
                for before, after, count in self.moves
            ],
            "examples": self.examples,
            "would_be_refused": self.would_be_refused,
            "confirmed": self.confirmed,
            "rejected": self.rejected,
            "dead_letters": self.dead,
            "waiting": self.waiting,
            "requests": self.requests,
            "file": self.file,
        }


def sync(
    settings: Settings, destination: Destination, options: Options, reporter: Reporter
) -> Result:
    """Bring a destination up to what readers have.

    Raises:
        UsageError: for options that make no sense together.
        HealthError: when nothing may be sent, or not all could be; in one line with what to do,
            and the counts as details.
        BusyError: when another sync to this destination goes on.
    """
    mapping = mapping_of(destination)
    if options.dry_run:
        return _look(settings, destination, mapping, options)
    secrets = read_secrets(destination)
    warehouse = warehouse_of(settings)
    if not warehouse.is_published():
        with warehouse.reader():  # says what to do
            raise HealthError(f"nothing is published in {warehouse.where_readers_look()}")
    with ledgers.lock(settings, destination.name, f"sync {destination.name}", reporter.warn):
        with reporter.step("plan"):
            published, rows = read(warehouse, destination, mapping)
            path = ledgers.path_of(settings, destination.name)
            reporter.detail(f"{len(rows):,} {relation_of(destination).plural}")
        with ledgers.opened(path, destination.identity(secrets)) as ledger:
            plan = make_plan(rows, ledger.records(), mapping, retry_dead=options.retry_dead)
            result = _result(destination, published, plan, mapping)
            begun = _begin(ledger, destination, published, plan, options, result)
            with _ended(ledger, begun, published, result):
                if plan.items:
                    sender = open_sender(
                        destination, secrets, mapping, published, reporter.note, begun.delivery_id
                    )
                    try:
                        with reporter.step(f"send to {destination.name}"):
                            _send(
                                destination, plan.items, sender, ledger, begun, published,
                                result, reporter,
                            )  # fmt: skip
                    finally:
                        sender.close()
                    result.file = sender.file
    return result


def open_sender(
    destination: Destination,
    secrets: dict[str, str],
    mapping: FieldMapping,
    published: Published,
    tell: Callable[[str], None],
    delivery_id: str,
) -> Sender:
    """The destination, open for sending; nothing is sent yet."""
    if destination.kind is Kind.HUBSPOT:
        from customer_health.sync.hubspot import HubSpot

        return HubSpot(destination, secrets, mapping, published, tell)
    if destination.kind is Kind.SALESFORCE:
        from customer_health.sync.salesforce import Salesforce

        return Salesforce(destination, secrets, mapping, published, tell)
    if destination.kind is Kind.WEBHOOK:
        from customer_health.sync.webhook import Webhook

        return Webhook(destination, secrets, mapping, published, tell, delivery_id)
    from customer_health.sync.drop import FileDrop

    return FileDrop(destination, mapping, published, delivery_id)


# -- before sending ------------------------------------------------------------------------------
def _look(
    settings: Settings, destination: Destination, mapping: FieldMapping, options: Options
) -> Result:
    """`--dry-run`: the plan, without a lock, a request or a written byte."""
    if options.accept_changes or options.accept_older:
        raise UsageError("--dry-run sends nothing, so there is nothing to accept: leave one out")
    published, rows = read(warehouse_of(settings), destination, mapping)
    with ledgers.looked_at(ledgers.path_of(settings, destination.name)) as ledger:
        if ledger is not None:
            ledger.check_identity(destination.identity())
        known = ledger.records() if ledger else {}
        plan = make_plan(rows, known, mapping, retry_dead=options.retry_dead)
        result = _result(destination, published, plan, mapping)
        accepted = ledger.accepted(published) if ledger else (False, False)
        for refusal in refusals(destination, published, plan, ledger, *accepted):
            result.would_be_refused.append(refusal.message)
    return result


def refusals(
    destination: Destination,
    published: Published,
    plan: Plan,
    ledger: Ledger | None,
    accepts_changes: bool,
    accepts_older: bool,
) -> Iterator[HealthError]:
    """Why a sync must not be: too old, or too much at once."""
    if not accepts_older:
        try:
            refuse_older(published, ledger.last_confirmed() if ledger else None)
        except HealthError as error:
            yield error
    relation = relation_of(destination)
    # actions come and go; what they say of an account is watched where accounts are sent
    if not accepts_changes and relation.band is not None:
        try:
            refuse_upheaval(plan, destination.limits, relation.plural)
        except HealthError as error:
            yield error


def _begin(
    ledger: Ledger,
    destination: Destination,
    published: Published,
    plan: Plan,
    options: Options,
    result: Result,
) -> Sync:
    """Note that the sync begins, if it may.

    Raises:
        HealthError: when it may not.
    """
    changes, older = ledger.accepted(published)
    changes, older = changes or options.accept_changes, older or options.accept_older
    for refusal in refusals(destination, published, plan, ledger, changes, older):
        ledger.note_refusal(published, result.counts, refusal.message)
        raise HealthError(refusal.message, details=result.to_dict() | refusal.details)
    return ledger.begin(
        published,
        result.counts,
        accepted_changes=changes,
        accepted_older=older,
        is_one_piece=destination.kind is Kind.FILES,
        settled=plan.settled,
        gone=plan.gone,
    )


def _result(
    destination: Destination, published: Published, plan: Plan, mapping: FieldMapping
) -> Result:
    """What the plan says, before anything is sent."""
    seen: dict[str, list[dict[str, Any]]] = {}
    for item in plan.items:
        some = seen.setdefault(str(item.why), [])
        if len(some) < EXAMPLES:
            some.append(_example(item, mapping, published))
    return Result(
        destination=destination.name,
        published=published,
        counts=plan.counts(),
        retried=plan.retried,
        moves=[(before, after, count) for (before, after), count in plan.moves.most_common()],
        examples=[example for some in seen.values() for example in some],
    )


def _example(item: Item, mapping: FieldMapping, published: Published) -> dict[str, Any]:
    """A record of the plan as people look at it."""
    before = item.known.confirmed_hash if item.known is not None else None
    fields = mapping.clear(published) if item.is_clearing else mapping.render(item.row, published)
    return {
        "key": item.key,
        "why": str(item.why),
        "hash_before": before.hex() if before is not None else None,
        "hash": None if item.is_clearing else item.hash.hex(),
        "fields": fields,
    }


# -- sending -------------------------------------------------------------------------------------
@contextmanager
def _ended(ledger: Ledger, begun: Sync, published: Published, result: Result) -> Iterator[None]:
    """Note how the sync ends. One that is killed ends without a note."""
    try:
        yield
    except HealthError as error:
        with suppress(HealthError):
            ledger.end(begun, published, ledgers.STOPPED, error.message)
        raise
    except BaseException:
        with suppress(HealthError):
            ledger.end(begun, published, ledgers.INTERRUPTED)
        raise
    ledger.end(begun, published, ledgers.OK)


def batches_of(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Items in parts of at most `size`; 0 means one part."""
    step = size or max(len(items), 1)
    return [list(items[start : start + step]) for start in range(0, len(items), step)]


def _send(
    destination: Destination,
    items: Sequence[Item],
    sender: Sender,
    ledger: Ledger,
    begun: Sync,
    published: Published,
    result: Result,
    reporter: Reporter,
) -> None:
    """Send the batches one after the other.

    Raises:
        HealthError: when the destination cannot be used, or too many batches in a row failed; what
            was confirmed is kept.
    """
    batches = batches_of(items, destination.batch_size)
    attempts = destination.limits.attempts
    failed = done = 0
    failure = ""
    ledger.mark([item.key for item in batches[0]])
    for number, batch in enumerate(batches):
        following = batches[number + 1] if number + 1 < len(batches) else []
        outcome = _Outcome(batch, attempts)
        try:
            outcome.deliver(sender)
        except HealthError as error:
            # what is not answered is not unsure for that: it was refused, or never sent
            _write(ledger, begun, published, outcome, sender, result, [])
            raise _with_counts(error, result) from error
        except OSError as error:
            _write(ledger, begun, published, outcome, sender, result, [])
            if destination.kind is not Kind.FILES:
                raise
            raise _with_counts(_not_written(destination, error), result) from error
        failed = failed + 1 if outcome.has_failed else 0
        failure = outcome.failure or failure
        done += len(batch)
        stops = failed >= destination.limits.failed_batches
        next_keys = [] if stops else [item.key for item in following]
        _write(ledger, begun, published, outcome, sender, result, next_keys)
        reporter.update(done, len(items), "records")
        if stops and following:
            raise _with_counts(
                HealthError(f"{destination.name}: {failed} batches in a row failed: {failure}"),
                result,
            )
    if result.waiting:
        raise _with_counts(
            HealthError(f"{destination.name}: not all batches were answered: {failure}"),
            result,
        )


def _not_written(destination: Destination, error: OSError) -> HealthError:
    """What to say when a file cannot be written."""
    return HealthError(
        f"{destination.name}: {destination.options['folder']} cannot be written "
        f"({error.strerror or error}): free space, or check its owner and permissions"
    )


def _with_counts(error: HealthError, result: Result) -> HealthError:
    """The error with what is confirmed and what waits."""
    return HealthError(
        f"{error.message} ({result.confirmed:,} of {result.to_send:,} records are confirmed, "
        f"{result.waiting:,} wait for the next sync)",
        error.exit_code,
        details=result.to_dict(),
    )


def _write(
    ledger: Ledger,
    begun: Sync,
    published: Published,
    outcome: _Outcome,
    sender: Sender,
    result: Result,
    next_keys: Sequence[str],
) -> None:
    """Write what came of a batch, and count it."""
    settled = outcome.settled()
    result.requests = sender.request_count
    ledger.settle(begun, published, settled, requests=sender.request_count, about_to_send=next_keys)
    for each in settled:
        if isinstance(each, Confirmed):
            result.confirmed += 1
        elif isinstance(each, Rejected):
            result.rejected[each.because] = result.rejected.get(each.because, 0) + 1
            result.dead += each.is_dead


class _Outcome:
    """What comes of a batch while it is sent, in parts if need be."""

    def __init__(self, items: list[Item], attempts: int) -> None:
        self._items = items
        self._attempts = attempts
        self._answers: dict[str, Answer] = {}
        self._unclear: set[str] = set()
        self._refused_alone = 0
        self.failure = ""

    @property
    def has_failed(self) -> bool:
        """Whether nothing of it was taken, for a reason that lies in no single record."""
        return not self._answers or self._refused_alone == len(self._items)

    def deliver(self, sender: Sender) -> None:
        """Send all of it.

        Raises:
            HealthError: when nothing that follows could succeed; `settled` knows what did.
        """
        self._deliver(sender, self._items)

    def _deliver(self, sender: Sender, items: list[Item]) -> None:
        """Send some of it; in halves where the destination refuses it for what is in it."""
        keys = [item.key for item in items]
        try:
            answers = sender.send(items)
        except BatchFailed as error:
            self.failure = error.reason
            if error.is_unclear:
                self._unclear.update(keys)
            return
        except BatchRefused as error:
            if sender.was_unclear:
                self._unclear.update(keys)
            self.failure = error.reason
            if len(items) == 1:
                self._answers[keys[0]] = Answer(keys[0], error.reason)
                self._refused_alone += 1
                return
            half = len(items) // 2
            self._deliver(sender, items[:half])
            self._deliver(sender, items[half:])
            return
        except HealthError:
            if sender.was_unclear:
                self._unclear.update(keys)
            raise
        except OSError:
            # of files: the last one may be in place
            self._unclear.update(keys)
            raise
        if sender.was_unclear:
            self._unclear.update(keys)
        self._answers.update((answer.key, answer) for answer in answers)

    def settled(self) -> list[Settled]:
        """For each record, what the ledger is to write."""
        return [self._settle(item) for item in self._items]

    def _settle(self, item: Item) -> Settled:
        """For one record."""
        answer = self._answers.get(item.key)
        is_unsure = item.was_unsure or item.key in self._unclear
        if answer is None:
            return Waiting(item.key, is_unsure)
        # who is to be cleared and is not there any more is as good as cleared
        if answer.because is None or (item.is_clearing and answer.is_missing):
            digest = None if item.is_clearing else item.hash
            return Confirmed(item.key, digest, item.band)
        times = item.earlier_refusals + 1
        return Rejected(
            key=item.key,
            hash=item.hash,
            because=answer.because,
            times=times,
            is_dead=times >= self._attempts,
            is_unsure=is_unsure or answer.is_unclear,
        )


# -- telling -------------------------------------------------------------------------------------
def render(result: Result, console: Console, *, dry_run: bool) -> None:
    """Print what a sync did, or would do."""
    published = result.published
    verb = "would get" if dry_run else "has"
    console.print(
        f"[bold]{escape(result.destination)}[/bold] {verb} {escape(published.publication_id)}, "
        f"scores of {published.as_of_date}.",
        soft_wrap=True,
        highlight=False,
    )
    if dry_run or result.to_send:
        _render_counts(result, console, dry_run=dry_run)
    else:
        console.print(
            f"Nothing has changed: {result.counts['unchanged']:,} records are as they should be, "
            "nothing was sent.",
            soft_wrap=True,
            highlight=False,
        )
    if result.counts["dead"]:
        console.print(
            f"note: {result.counts['dead']:,} dead letters were left alone (--retry-dead tries "
            "them; `customer-health sync status` has the reasons)",
            style="yellow",
            soft_wrap=True,
            highlight=False,
        )
    if dry_run:
        _render_plan(result, console)


def _render_counts(result: Result, console: Console, *, dry_run: bool) -> None:
    """Records by what happens to them, and what came of it."""
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
    table.add_column("Records")
    table.add_column("", justify="right")
    for label, count in (
        ("new", result.counts["new"]),
        ("changed", result.counts["changed"]),
        ("cleared: no longer published", result.counts["cleared"]),
        ("again: their answer never came", result.counts["again"]),
        ("unchanged, not sent", result.counts["unchanged"]),
        ("of these, rejected before", result.retried),
    ):
        if count or label in ("new", "changed"):
            table.add_row(label, f"{count:,}")
    if not dry_run:
        table.add_section()
        table.add_row("[green]confirmed[/green]", f"{result.confirmed:,}")
        for reason, count in sorted(result.rejected.items(), key=lambda each: -each[1])[:EXAMPLES]:
            table.add_row(f"[yellow]rejected[/yellow]: {escape(reason)}", f"{count:,}")
        if result.dead:
            table.add_row("of these, dead letters from now on", f"{result.dead:,}")
        if result.requests:
            table.add_row("requests", f"{result.requests:,}")
    console.print(table)
    if result.file is not None:
        console.print(f"Wrote {escape(result.file)}", soft_wrap=True, highlight=False)


def _render_plan(result: Result, console: Console) -> None:
    """What a dry run shows besides the counts."""
    if result.moves:
        table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
        table.add_column("Band at the destination")
        table.add_column("Band now")
        table.add_column("Records", justify="right")
        for before, after, count in result.moves:
            table.add_row(escape(str(before)), escape(str(after)), f"{count:,}")
        console.print(table)
    if result.examples:
        table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
        table.add_column("For example", no_wrap=True)
        table.add_column("Why")
        table.add_column("Fields", overflow="fold")
        for example in result.examples:
            fields = ", ".join(f"{name}={value}" for name, value in example["fields"].items())
            table.add_row(escape(example["key"]), example["why"], escape(fields))
        console.print(table)
    for refusal in result.would_be_refused:
        console.print(
            f"would be refused: {escape(refusal)}", style="yellow", soft_wrap=True, highlight=False
        )
    console.print("Nothing was sent or written.", style="dim")
