"""Whatever the order of publications, faults and deaths, the CRM ends equal to the publication.

A state machine (hypothesis) publishes, orders faults, and syncs; a sync may die at any of the
moments at which something becomes true outside of the process: before and after each request, and
before and after each commit of the ledger. After a death nothing more is written or sent, as
after a kill. At the end the faults stop; then one sync makes the CRM equal to the publication, and
the next one sends nothing. All along, a record is sent only for a reason: the CRM does not
have this payload confirmed, or the last sending of the record was not confirmed to us.

SYNC_EXAMPLES sets the number of histories per destination.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests
from crm_double import KEY, PORTAL, Crm, Fault, serving
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sync_world import ENVIRONMENT, LIMITS, World, hubspot, quiet, salesforce, webhook

from customer_health.errors import HealthError
from customer_health.sync import drop
from customer_health.sync import run as running
from customer_health.sync.config import load
from customer_health.sync.ledger import Ledger
from customer_health.sync.mapping import Published
from customer_health.sync.run import Options, sync

# Thousands of commits, each synced: deaths are not power cuts here, so memory is good enough.
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
EXAMPLES = int(os.environ.get("SYNC_EXAMPLES", "60"))
THERE = [f"A{number}" for number in range(7)]
TWICE = "D0"  # two records of the CRM have this key
MISSING = "X0"  # none has it
FIELDS = {"score": "health_score", "band": "band", "publication": "publication_id"}
BATCH = 3
ATTEMPTS = 3

FAULTS = [
    Fault("cut"),
    Fault("cut", takes_effect=True),
    Fault("status", status=500),
    Fault("status", takes_effect=True, status=503),
    Fault("status", status=429, headers=(("Retry-After", "1"),)),
    Fault("status", status=400, body={"message": "refused"}),
    Fault("status", status=401, body={"message": "expired"}),
    Fault("status", status=404),
    Fault("malformed", takes_effect=True),
    Fault("html"),
]


class Died(BaseException):
    """The process is no more."""


class Mortal:
    """Counts the moments at which something becomes true outside, and dies at one of them."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.count = 0
        self.is_dead = False

    def moment(self) -> None:
        """One of them."""
        self.count += 1
        if self.is_dead or self.count == self.at:
            self.is_dead = True
            raise Died

    def around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """A function with a moment before and after it."""

        def call(*arguments: Any, **named: Any) -> Any:
            self.moment()
            result = real(*arguments, **named)
            self.moment()
            return result

        return call

    @contextmanager
    def living(self) -> Iterator[None]:
        """While this holds, requests, files and commits are such moments."""
        with ExitStack() as stack:
            for owner, name in (
                (requests.Session, "request"),
                (Ledger, "_commit"),
                (drop.FileDrop, "send"),
                (drop, "sync_folder"),
            ):
                stack.enter_context(patch.object(owner, name, self.around(getattr(owner, name))))
            yield


class SyncMachine(RuleBasedStateMachine):
    """One history; subclasses say to which destination."""

    tls = False

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        made = tempfile.TemporaryDirectory(dir=IN_MEMORY)
        folder = Path(self.stack.enter_context(made))
        self.stack.enter_context(patch.dict(os.environ, ENVIRONMENT))
        self.stack.enter_context(patch("customer_health.sync.transport.sleep", lambda _: None))
        self.world = World(folder)
        self.world.settings.published.touch()
        crm = Crm([*THERE, TWICE, TWICE])
        self.crm = self.stack.enter_context(serving(crm, tls_folder=folder if self.tls else None))
        self.configure()
        self.day = 0
        self.rows: dict[str, tuple[int, str]] = {}
        # what the CRM has confirmed to us, as far as a correct ledger can know
        self.confirmed: dict[str, Any] = {}
        self.doubtful: set[str] = set()
        self.allowance = 0

    def configure(self) -> None:
        """Write sync.yml."""
        raise NotImplementedError

    def teardown(self) -> None:
        """At the end of a history the faults stop."""
        try:
            if self.day:
                self.settle()
        finally:
            self.stack.close()

    # -- what happens ----------------------------------------------------------------------------
    @initialize()
    def begin(self) -> None:
        self.rows = {key: (50, "healthy") for key in [*THERE[:5], TWICE, MISSING]}
        self.day = 1

    @rule(
        key=st.sampled_from([*THERE, TWICE, MISSING]),
        row=st.none() | st.tuples(st.integers(1, 3), st.sampled_from(["healthy", "at_risk"])),
        new_day=st.booleans(),
    )
    def publish(self, key: str, row: tuple[int, str] | None, new_day: bool) -> None:
        self.rows.pop(key, None)
        if row is not None:
            self.rows[key] = row
        self.day += new_day

    @rule(fault=st.sampled_from(FAULTS), times=st.integers(1, 3))
    def break_something(self, fault: Fault, times: int) -> None:
        self.crm.faults.extend([fault] * times)

    @rule(key=st.sampled_from(THERE), spoils=st.booleans())
    def reject(self, key: str, spoils: bool) -> None:
        self.crm.rejects[key] = "not like this"
        if spoils:
            self.crm.spoils.add(key)

    @rule()
    def accept_again(self) -> None:
        self.crm.rejects.clear()
        self.crm.spoils.clear()

    @rule(dies_at=st.none() | st.integers(1, 24), retry_dead=st.booleans())
    def sync(self, dies_at: int | None, retry_dead: bool) -> None:
        self.sync_once(dies_at, retry_dead=retry_dead)

    # -- one sync ----------------------------------------------------------------------------------
    def published(self) -> Published:
        """The publication of this day."""
        day = date(2026, 6, 1) + timedelta(days=self.day)
        return Published(f"{day}T1-a", datetime(2026, 6, 1) + timedelta(days=self.day), day)

    def sync_once(self, dies_at: int | None = None, *, retry_dead: bool = False) -> None:
        """A sync that may be refused, stop, or die."""
        mortal = Mortal(dies_at)
        destination = load(self.world.file)["crm"]
        rows = [(key, band, score, band) for key, (score, band) in sorted(self.rows.items())]
        start = self.seen()
        options = Options(accept_changes=True, accept_older=True, retry_dead=retry_dead)
        with (
            patch.object(running, "read", lambda *_: (self.published(), rows)),
            suppress(HealthError, Died),
            mortal.living(),
        ):
            sync(self.world.settings, destination, options, quiet())
        lock = self.world.ledgers / "crm.lock"
        lock.unlink(missing_ok=True)
        self.check_reasons(start, died=mortal.is_dead)

    def seen(self) -> int:
        """How much the destination has seen so far."""
        return len(self.crm.requests)

    def records_of(self, body: bytes) -> dict[str, tuple[int, str] | None]:
        """Key -> score and band of a request of any interface; None for a clearing."""
        content = json.loads(body)
        own = {record.id: record.key for record in self.crm.records}
        found: dict[str, tuple[int, str] | None] = {}
        for each in content.get("inputs", content.get("records")):
            key = each.get("id", each.get("key"))
            fields = each.get("properties") or each.get("fields") or each
            fields = {name.lower().removesuffix("__c"): value for name, value in fields.items()}
            is_clearing = fields["score"] in (None, "")
            found[own.get(key, key)] = (
                None if is_clearing else (int(fields["score"]), fields["band"])
            )
        return found

    def payload(self, key: str) -> Any:
        """What the CRM should have of a key, without its publication; None for cleared."""
        return self.rows.get(key)

    def check_reasons(self, start: int, *, died: bool) -> None:
        """Each record of each request since was sent for a reason."""
        writes = [each for each in self.crm.requests[start:] if each.kind == "write"]
        answers = [
            answered
            for answered, each in zip(
                self.crm.answered[start:], self.crm.requests[start:], strict=True
            )
            if each.kind == "write"
        ]
        for number, (request, answered) in enumerate(zip(writes, answers, strict=True)):
            sent = self.records_of(request.body)
            for key, payload in sent.items():
                assert payload == self.payload(key)
                if key not in self.doubtful and self.confirmed.get(key) == payload:
                    self.allowance -= 1
                    assert self.allowance >= 0, f"{key} was sent again without need"
                is_last = died and number == len(writes) - 1
                if answered is not None and key in answered and not is_last:
                    self.confirmed[key] = payload
                    self.doubtful.discard(key)
                else:
                    self.doubtful.add(key)
        if died:
            # one batch may have been marked and then not sent
            self.allowance += BATCH

    # -- the end -----------------------------------------------------------------------------------
    def settle(self) -> None:
        """Without faults, one sync is enough, and the next one has nothing to do."""
        self.crm.faults.clear()
        self.accept_again()
        self.sync_once(retry_dead=True)
        self.assert_equal()
        before = self.seen()
        result = self.sync_strictly()
        # what is there twice can be neither updated nor cleared; what is missing is clear anyway
        hopeless = {TWICE, MISSING} & ({TWICE} | set(self.rows))
        assert result.to_send + result.counts["dead"] <= len(hopeless), result
        assert result.confirmed == 0
        if not result.to_send:
            assert self.seen() == before

    def sync_strictly(self) -> running.Result:
        """A sync that has to end well."""
        destination = load(self.world.file)["crm"]
        rows = [(key, band, score, band) for key, (score, band) in sorted(self.rows.items())]
        with patch.object(running, "read", lambda *_: (self.published(), rows)):
            return sync(self.world.settings, destination, Options(), quiet())

    def assert_equal(self) -> None:
        """The CRM has what is published, nothing else, and no record that it did not have."""
        fields = self.crm.fields()
        for key in THERE:
            written = fields.get(key, {})
            found = {name.lower().removesuffix("__c"): each for name, each in written.items()}
            score, band = self.rows.get(key, (None, None))
            assert (found.get("score"), found.get("band")) == (as_text(self, score), band), key
        assert TWICE not in fields
        assert [record.key for record in self.crm.records] == [*THERE, TWICE, TWICE]


def as_text(machine: SyncMachine, score: int | None) -> Any:
    """A number as the interface of the machine keeps it."""
    return score if score is None or not isinstance(machine, HubSpotMachine) else str(score)


class HubSpotMachine(SyncMachine):
    """To HubSpot."""

    def configure(self) -> None:
        limits = {**LIMITS, "attempts": ATTEMPTS}
        made = hubspot(self.crm, fields=FIELDS, batch_size=BATCH, limits=limits)
        assert (made["key"], made["portal"]) == (KEY, PORTAL)
        self.world.configure("crm", **made)


class WebhookMachine(SyncMachine):
    """To a webhook."""

    def configure(self) -> None:
        limits = {**LIMITS, "attempts": ATTEMPTS}
        made = webhook(self.crm, fields=FIELDS, batch_size=BATCH, limits=limits)
        self.world.configure("crm", **made)


class SalesforceMachine(SyncMachine):
    """To Salesforce, over TLS."""

    tls = True

    def configure(self) -> None:
        limits = {**LIMITS, "attempts": ATTEMPTS}
        fields = {f"{name.title()}__c": source for name, source in FIELDS.items()}
        made = salesforce(self.crm, fields=fields, batch_size=BATCH, limits=limits)
        self.world.configure("crm", **made)


class FilesMachine(SyncMachine):
    """To files, read in the order in which they appeared."""

    def configure(self) -> None:
        self.world.configure("crm", type="files", folder="out", fields=FIELDS)

    def check_reasons(self, start: int, *, died: bool) -> None:
        """Whether a file was needed shows in `settle`."""

    def files(self) -> list[Path]:
        """In the order in which they appeared."""
        folder = self.world.settings.project_dir / "out"
        return sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime_ns)

    def seen(self) -> int:
        """Files so far."""
        return len(self.files())

    def settle(self) -> None:
        """There are no faults, and nothing is rejected."""
        self.sync_once()
        self.assert_equal()
        before = self.seen()
        assert self.sync_strictly().to_send == 0
        assert self.seen() == before

    def assert_equal(self) -> None:
        """Who applies the files one after the other has what is published."""
        import csv

        found: dict[str, tuple[int, str]] = {}
        publications: dict[str, str] = {}
        for path in self.files():
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    publications.setdefault(path.name, row["publication"])
                    assert row["publication"] == publications[path.name], "half-truths"
                    assert row["publication"] in path.name
                    found.pop(row["key"], None)
                    if row["operation"] == "update":
                        found[row["key"]] = (int(row["score"]), row["band"])
        assert found == self.rows


COMMON = settings(
    max_examples=EXAMPLES,
    stateful_step_count=18,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestHubSpot = HubSpotMachine.TestCase
TestWebhook = WebhookMachine.TestCase
TestSalesforce = SalesforceMachine.TestCase
TestFiles = FilesMachine.TestCase
TestHubSpot.settings = TestWebhook.settings = COMMON
TestSalesforce.settings = TestFiles.settings = COMMON
