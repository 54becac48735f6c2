"""What each destination has confirmed: one SQLite file per destination, in `sync/` of the home.

Tables and their grain:

- `facts`: one row per fact of the file: form, destination, the publication confirmed last.
- `records`: one row per key that the destination has from us, may have, or has rejected.
  `confirmed_*` is what it confirmed last. `is_unsure` is 1 from the moment before a record is sent
  until its answer is written: after a kill, or an answer that never came, nobody knows what the
  destination has, so the record is sent again whatever else says. `refused_*` is the payload that
  it rejected last, how often in a row, and why; `is_dead` is 1 when that was too often.
- `syncs`: one row per sync that began. `outcome` is ok, stopped, interrupted or refused, and null
  while it runs or if it was killed. `delivery_id` is kept when a sync that did not end well is
  tried again with the same publication, so that a file or a batch has the same name again.

A confirmation is on the disk before the next request is sent (write-ahead log, synced at each
commit), and none is written that did not come. A new file is made beside its place and renamed, so
that one without our tables is damaged for certain.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from customer_health.errors import BusyError, HealthError, first_line, from_os_error
from customer_health.lock import run_lock
from customer_health.settings import Settings
from customer_health.sync.mapping import Published

APPLICATION_ID = 0x43485359  # "CHSY"
FORM = 1
KEPT_SYNCS = 1000
OK, STOPPED, INTERRUPTED, REFUSED = "ok", "stopped", "interrupted", "refused"
COUNTS = ("new", "changed", "again", "cleared", "unchanged", "dead")
_BUSY_SECONDS = 10

_SCHEMA = f"""
create table facts (
    name text primary key,
    value text not null
) without rowid;

create table records (
    key text primary key,
    confirmed_hash blob,
    confirmed_band text,
    confirmed_publication text,
    confirmed_at text,
    is_unsure integer not null default 0,
    refused_hash blob,
    refused_times integer not null default 0,
    refused_because text,
    refused_at text,
    is_dead integer not null default 0
) without rowid;

create table syncs (
    number integer primary key autoincrement,
    delivery_id text not null,
    started_at text not null,
    ended_at text,
    outcome text,
    error text,
    publication_id text not null,
    published_at text not null,
    as_of_date text not null,
    accepted_changes integer not null,
    accepted_older integer not null,
    {", ".join(f"{count}_count integer not null" for count in COUNTS)},
    confirmed_count integer not null default 0,
    rejected_count integer not null default 0,
    request_count integer not null default 0
);

pragma application_id = {APPLICATION_ID};
pragma user_version = {FORM};
"""


class Known(NamedTuple):
    """What the ledger knows about a record, as far as a plan needs it; there are many of them."""

    confirmed_hash: bytes | None
    confirmed_band: str | None
    is_unsure: bool
    refused_hash: bytes | None
    refused_times: int
    is_dead: bool


@dataclass(frozen=True)
class Sync:
    """A row of `syncs` that has just begun."""

    number: int
    delivery_id: str


@dataclass(frozen=True)
class Confirmed:
    """The record was taken. `hash` is None for one that was cleared: it leaves the ledger."""

    key: str
    hash: bytes | None
    band: str | None


@dataclass(frozen=True)
class Rejected:
    """The record was refused, with a reason; what was sent before stays in place."""

    key: str
    hash: bytes
    because: str
    times: int
    is_dead: bool
    is_unsure: bool


@dataclass(frozen=True)
class Waiting:
    """The record was not answered for."""

    key: str
    is_unsure: bool


Settled = Confirmed | Rejected | Waiting


def folder_of(settings: Settings) -> Path:
    """Where the ledgers lie."""
    return settings.home / "sync"


def path_of(settings: Settings, destination: str) -> Path:
    """The ledger of a destination."""
    return folder_of(settings) / f"{destination}.sqlite"


@contextmanager
def lock(
    settings: Settings, destination: str, command: str, warn: Callable[[str], None]
) -> Iterator[None]:
    """Hold a destination, so that no two syncs send to it.

    Args:
        settings: where the ledgers lie; the folder is made.
        destination: its name.
        command: what is being done, for the message that others get.
        warn: told in one line when the lock of a dead sync is taken over.

    Raises:
        BusyError: when another process holds it (exit code 3).
    """
    folder = folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{destination}.lock"
    with run_lock(path, run_id=_new_delivery_id(), command=command, warn=warn):
        yield


def now() -> str:
    """This moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _new_delivery_id() -> str:
    """Time and six hexadecimal digits: names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class Ledger:
    """An open ledger. All methods raise HealthError, in one line, for whatever SQLite says."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    # -- reading ---------------------------------------------------------------------------------
    def facts(self) -> dict[str, str]:
        """All facts by name."""
        return dict(self._rows("select name, value from facts"))

    def check_identity(self, identity: Mapping[str, str]) -> None:
        """Refuse a ledger of another destination, whose confirmations say nothing about this one.

        Args:
            identity: what is known of the destination now; only what is known is compared.

        Raises:
            HealthError: naming what has changed, and what to do.
        """
        ours = json.loads(self.facts().get("identity", "{}"))
        changed = [name for name, value in identity.items() if ours.get(name) != value]
        if not changed:
            return
        shown = [name for name in changed if not name.endswith("_sha256")]
        words = ", ".join(f"{name} {ours.get(name)} -> {identity[name]}" for name in shown)
        raise HealthError(
            f"the ledger {self.path} is that of another destination ({words or 'another URL'}): "
            "give the destination a new name in sync.yml, or move the ledger away; then every "
            "record is sent once"
        )

    def records(self) -> dict[str, Known]:
        """What is known, by key."""
        rows = self._rows(
            "select key, confirmed_hash, confirmed_band, is_unsure, refused_hash, refused_times, "
            "is_dead from records"
        )
        return {row[0]: Known._make(row[1:]) for row in rows}

    def last_confirmed(self) -> Published | None:
        """The publication from which a record was confirmed last; None before the first one."""
        facts = self.facts()
        if "confirmed_publication_id" not in facts:
            return None
        return Published(
            facts["confirmed_publication_id"],
            datetime.fromisoformat(facts["confirmed_published_at"]),
            date.fromisoformat(facts["confirmed_as_of_date"]),
        )

    def syncs(self, count: int) -> list[dict[str, Any]]:
        """The last syncs, the newest first, with the columns of the table."""
        cursor = self._run("select * from syncs order by number desc limit ?", [count])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in self._fetch(cursor)]

    def totals(self) -> dict[str, int]:
        """Records by state: confirmed, unsure, rejected, dead."""
        row = self._rows(
            "select count(confirmed_hash), coalesce(sum(is_unsure), 0), "
            "coalesce(sum(refused_times > 0 and not is_dead), 0), coalesce(sum(is_dead), 0) "
            "from records"
        )[0]
        return dict(zip(("confirmed", "unsure", "rejected", "dead"), row, strict=True))

    def refusals(self, *, dead: bool, examples: int = 3) -> list[dict[str, Any]]:
        """Reasons of rejected records or dead letters, the most frequent first, with some keys."""
        rows = self._rows(
            "select refused_because, count(*), min(refused_at) from records "
            "where refused_times > 0 and is_dead = ? group by 1 order by 2 desc, 1",
            [int(dead)],
        )
        found = []
        for reason, count, since in rows:
            keys = self._rows(
                "select key from records where refused_times > 0 and is_dead = ? "
                "and refused_because = ? order by key limit ?",
                [int(dead), reason, examples],
            )
            found.append(
                {"reason": reason, "records": count, "since": since, "keys": [k for (k,) in keys]}
            )
        return found

    # -- writing ---------------------------------------------------------------------------------
    def begin(
        self,
        published: Published,
        counts: Mapping[str, int],
        *,
        accepted_changes: bool,
        accepted_older: bool,
        is_one_piece: bool = False,
        settled: Sequence[str] = (),
        gone: Sequence[str] = (),
    ) -> Sync:
        """Note that a sync begins.

        Args:
            published: what it sends.
            counts: of its plan, by the names of COUNTS.
            is_one_piece: whether a delivery is one file, which must not be replaced by what is
                left to send once something in it is confirmed.
            accepted_changes: whether --accept-changes was given for it.
            accepted_older: whether --accept-older was.
            settled: keys whose rejected payload is no longer wanted, since the destination has
                what it should.
            gone: keys that left without the destination ever having had them.
        """
        unfinished = self._unfinished(published)
        if unfinished is None or (is_one_piece and unfinished["confirmed_count"]):
            delivery_id = _new_delivery_id()
        else:
            delivery_id = unfinished["delivery_id"]
        with self._transaction():
            self._run_many(
                "update records set refused_hash = null, refused_times = 0, "
                "refused_because = null, refused_at = null, is_dead = 0 where key = ?",
                [(key,) for key in settled],
            )
            self._run_many("delete from records where key = ?", [(key,) for key in gone])
            cursor = self._insert_sync(published, counts, delivery_id, None, None,
                                       accepted_changes, accepted_older)  # fmt: skip
            number = int(cursor.lastrowid or 0)
            self._run("delete from syncs where number <= ?", [number - KEPT_SYNCS])
        return Sync(number, delivery_id)

    def note_refusal(self, published: Published, counts: Mapping[str, int], error: str) -> None:
        """Note a sync that was refused before anything was sent."""
        with self._transaction():
            self._insert_sync(published, counts, _new_delivery_id(), REFUSED, error, False, False)

    def accepted(self, published: Published) -> tuple[bool, bool]:
        """What was accepted for this publication, if its last sync did not end well.

        Returns:
            Whether changes were, and whether its age was.
        """
        unfinished = self._unfinished(published)
        if unfinished is None:
            return False, False
        return bool(unfinished["accepted_changes"]), bool(unfinished["accepted_older"])

    def mark(self, keys: Sequence[str]) -> None:
        """Note that records are about to be sent. On the disk when this returns."""
        with self._transaction():
            self._mark(keys)

    def settle(
        self,
        sync: Sync,
        published: Published,
        settled: Iterable[Settled],
        *,
        requests: int,
        about_to_send: Sequence[str] = (),
    ) -> None:
        """Write the answers to a batch, and that the next one is about to be sent.

        Both are one step, so that a batch costs one wait for the disk.
        """
        moment = now()
        confirmed, cleared, rejected, waiting = [], [], [], []
        for each in settled:
            if isinstance(each, Rejected):
                rejected.append(
                    (each.key, each.is_unsure, each.hash, each.times, each.because, moment,
                     each.is_dead)
                )  # fmt: skip
            elif isinstance(each, Waiting):
                waiting.append((each.is_unsure, each.key))
            elif each.hash is None:
                cleared.append((each.key,))
            else:
                confirmed.append((each.key, each.hash, each.band, published.publication_id, moment))
        with self._transaction():
            self._run_many(
                "insert or replace into records (key, confirmed_hash, confirmed_band, "
                "confirmed_publication, confirmed_at) values (?, ?, ?, ?, ?)",
                confirmed,
            )
            self._run_many("delete from records where key = ?", cleared)
            self._run_many(
                "insert into records (key, is_unsure, refused_hash, refused_times, "
                "refused_because, refused_at, is_dead) values (?, ?, ?, ?, ?, ?, ?) "
                "on conflict (key) do update set is_unsure = excluded.is_unsure, "
                "refused_hash = excluded.refused_hash, refused_times = excluded.refused_times, "
                "refused_because = excluded.refused_because, refused_at = excluded.refused_at, "
                "is_dead = excluded.is_dead",
                rejected,
            )
            self._run_many("update records set is_unsure = ? where key = ?", waiting)
            self._run_many(
                "delete from records where key = ? and not is_unsure and confirmed_hash is null "
                "and refused_times = 0",
                [(key,) for _, key in waiting],
            )
            if confirmed or cleared:
                self._note_confirmed(published)
            self._run(
                "update syncs set confirmed_count = confirmed_count + ?, "
                "rejected_count = rejected_count + ?, request_count = ? where number = ?",
                [len(confirmed) + len(cleared), len(rejected), requests, sync.number],
            )
            self._mark(about_to_send)

    def end(self, sync: Sync, published: Published, outcome: str, error: str | None = None) -> None:
        """Note how a sync ended. One that ended well confirms its publication as a whole."""
        with self._transaction():
            self._run(
                "update syncs set ended_at = ?, outcome = ?, error = ? where number = ?",
                [now(), outcome, error, sync.number],
            )
            if outcome == OK:
                self._note_confirmed(published)

    def close(self) -> None:
        """Put everything into the one file and let go of it."""
        with suppress(sqlite3.Error):
            self._connection.execute("pragma wal_checkpoint(truncate)")
            # without the log beside it, a reader needs to write nothing
            self._connection.execute("pragma journal_mode = delete")
        self._connection.close()

    # -- inside ----------------------------------------------------------------------------------
    def _unfinished(self, published: Published) -> dict[str, Any] | None:
        """The last sync that sent something, if it was of this publication and did not end well."""
        # refused ones among the newest sent nothing
        for row in self.syncs(KEPT_SYNCS):
            if row["outcome"] == REFUSED:
                continue
            same = row["publication_id"] == published.publication_id
            return row if same and row["outcome"] != OK else None
        return None

    def _insert_sync(
        self,
        published: Published,
        counts: Mapping[str, int],
        delivery_id: str,
        outcome: str | None,
        error: str | None,
        accepted_changes: bool,
        accepted_older: bool,
    ) -> sqlite3.Cursor:
        """A new row of syncs."""
        values = {
            "delivery_id": delivery_id,
            "started_at": now(),
            "ended_at": None if outcome is None else now(),
            "outcome": outcome,
            "error": error,
            "publication_id": published.publication_id,
            "published_at": published.published_at.isoformat(),
            "as_of_date": published.as_of_date.isoformat(),
            "accepted_changes": int(accepted_changes),
            "accepted_older": int(accepted_older),
            **{f"{name}_count": counts[name] for name in COUNTS},
        }
        marks = ", ".join("?" for _ in values)
        return self._run(
            f"insert into syncs ({', '.join(values)}) values ({marks})", list(values.values())
        )

    def _note_confirmed(self, published: Published) -> None:
        """Note the publication that the destination has confirmed something of."""
        facts = asdict(published)
        self._run_many(
            "insert or replace into facts (name, value) values (?, ?)",
            [
                (f"confirmed_{name}", value.isoformat() if isinstance(value, date) else value)
                for name, value in facts.items()
            ],
        )

    def _mark(self, keys: Sequence[str]) -> None:
        """Records that may be at the destination from now on."""
        self._run_many(
            "insert into records (key, is_unsure) values (?, 1) "
            "on conflict (key) do update set is_unsure = 1",
            [(key,) for key in keys],
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and on the disk at the end."""
        self._run("begin immediate")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise
        self._commit()

    def _commit(self) -> None:
        """Make a transaction last."""
        try:
            self._run("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return self._fetch(self._run(sql, values))

    def _fetch(self, cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
        """All rows of a cursor: damage may show only when they are read."""
        try:
            return cursor.fetchall()
        except sqlite3.Error as error:
            raise _said(error, self.path) from error

    def _run(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement."""
        try:
            return self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise _said(error, self.path) from error

    def _run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of some rows."""
        if not rows:
            return
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _said(error, self.path) from error


@contextmanager
def opened(path: Path, identity: Mapping[str, str]) -> Iterator[Ledger]:
    """The ledger of a destination for a sync; made if there is none.

    The caller holds the lock of the destination.

    Raises:
        HealthError: when it is damaged or another destination's, in one line with what to do.
    """
    if not path.exists():
        _create(path, identity)
    with _opened(path, read_only=False) as ledger:
        ledger.check_identity(identity)
        yield ledger


@contextmanager
def looked_at(path: Path) -> Iterator[Ledger | None]:
    """The ledger of a destination for looking only; None when there is none yet.

    Raises:
        HealthError: when it is damaged.
    """
    if not path.exists():
        yield None
        return
    with _opened(path, read_only=True) as ledger:
        yield ledger


@contextmanager
def _opened(path: Path, *, read_only: bool) -> Iterator[Ledger]:
    """An existing ledger, checked."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
    except sqlite3.Error as error:
        raise _said(error, path) from error
    ledger = Ledger(connection, path)
    try:
        try:
            form = connection.execute("pragma application_id").fetchone()[0]
            version = connection.execute("pragma user_version").fetchone()[0]
            sound = connection.execute("pragma quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            raise _said(error, path) from error
        if form != APPLICATION_ID or sound != "ok":
            raise _damaged(path, "it is no ledger" if form != APPLICATION_ID else str(sound))
        if version > FORM:
            raise HealthError(
                f"{path} was written by a newer version of customer_health (form {version}, this "
                f"one knows {FORM}): install that version"
            )
        if not read_only:
            ledger._run("pragma journal_mode = wal")
            ledger._run("pragma synchronous = full")
        yield ledger
    finally:
        if read_only:
            connection.close()
        else:
            ledger.close()


def _create(path: Path, identity: Mapping[str, str]) -> None:
    """A new ledger, in place all at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    part.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(part, isolation_level=None)
        try:
            connection.execute("pragma synchronous = full")
            connection.executescript(f"begin; {_SCHEMA} commit;")
            connection.executemany(
                "insert into facts (name, value) values (?, ?)",
                [("identity", json.dumps(dict(identity))), ("created_at", now())],
            )
        finally:
            connection.close()
        os.replace(part, path)
        sync_folder(path.parent)
    except sqlite3.Error as error:
        raise _said(error, path) from error
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def erase(settings: Settings, keys: Iterable[str]) -> dict[str, int]:
    """Take records out of every ledger, for an erasure request; their bytes are overwritten.

    What the destinations have is theirs to delete: no later sync clears these records.

    Args:
        settings: where the ledgers lie.
        keys: ids of accounts or actions.

    Returns:
        Destination -> number of records that were taken out, for destinations that had some.

    Raises:
        HealthError: when a ledger is damaged, or a sync holds it.
    """
    wanted = [(key,) for key in keys]
    found = {}
    for path in sorted(folder_of(settings).glob("*.sqlite")):
        with lock(settings, path.stem, "forget", lambda _: None):
            taken = _erase_from(path, wanted)
        if taken:
            found[path.stem] = taken
    return found


def _erase_from(path: Path, keys: Sequence[tuple[str]]) -> int:
    """Take records out of one ledger; how many there were."""
    with _opened(path, read_only=False) as ledger:
        before = ledger._rows("select count(*) from records")[0][0]
        with ledger._transaction():
            ledger._run_many("delete from records where key = ?", keys)
            # destinations may name a key in what they say about others
            for table, column in (("records", "refused_because"), ("syncs", "error")):
                ledger._run_many(
                    f"update {table} set {column} = 'erased' where instr({column}, ?) > 0", keys
                )
        ledger._run("vacuum")
        after = ledger._rows("select count(*) from records")[0][0]
    return int(before - after)


def _damaged(path: Path, said: str) -> HealthError:
    """What to do about a damaged ledger."""
    return HealthError(
        f"the ledger {path} is damaged ({first_line(said, 100)}): put a copy of it back, or move "
        "it away; then every record is sent once, and accounts that have left since are not cleared"
    )


def _said(error: sqlite3.Error, path: Path) -> HealthError:
    """One clear line for what SQLite refused."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return HealthError(
            f"no space left while writing {path}: free some space and sync again (what was "
            "confirmed is kept)"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BusyError(f"another process writes to {path}: let it finish")
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN")):
        return from_os_error(PermissionError(13, "not allowed", str(path)))
    if name.startswith("SQLITE_IOERR"):
        return HealthError(f"{path} cannot be read or written ({name}): look at the disk")
    return _damaged(path, str(error))
