"""The readers' copy, followed from one publication to the next while a server runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from customer_health import publication as files
from customer_health.errors import HealthError
from customer_health.settings import Settings
from customer_health.targets import DUCKDB, target_type
from customer_health.warehouses import Reader, warehouse_of
from customer_health.warehouses.duckdb import DuckDBReader, missing_copy, unreadable_copy


@dataclass(frozen=True)
class Pinned:
    """One publication, for as long as one page is made: all its queries see the same rows.

    Attributes:
        reader: asks it.
        version: changes with every publication, rollback and `forget`; a key for caches.
        publication_id: of the publication.
        as_of_date: date of its newest scores.
        published_at: UTC.
        scoring_version: policy in force.
        checks_run: checks of gates and dbt tests.
        checks_passed: those that held.
        newest_input_at: newest moment of the raw data, UTC; None where not known.
    """

    reader: Reader
    version: str
    publication_id: str
    as_of_date: date
    published_at: datetime
    scoring_version: str | None
    checks_run: int
    checks_passed: int
    newest_input_at: datetime | None

    def age_hours(self, now: datetime | None = None) -> float:
        """Hours since the publication."""
        moment = (now or datetime.now(UTC)).replace(tzinfo=None)
        return (moment - self.published_at).total_seconds() / 3600


class Source:
    """The readers' copy of a project. Safe to use from several threads.

    On DuckDB the file stays open, with what was read of it in memory, until it is replaced; pages
    that are being made then end on the file that they began with.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._is_file = target_type(settings) == DUCKDB
        self._lock = threading.Lock()
        self._open: tuple[str, duckdb.DuckDBPyConnection] | None = None

    def version(self) -> str:
        """What changes whenever readers get something else; quick enough to ask every few seconds.

        Raises:
            HealthError: when nothing is published.
        """
        if not self._is_file:
            with warehouse_of(self.settings).reader() as reader:
                return _newest(reader)["publication_id"]
        path = self.settings.published
        try:
            found = path.stat()
        except FileNotFoundError as error:
            raise missing_copy(path) from error
        return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"

    @contextmanager
    def pinned(self) -> Iterator[Pinned]:
        """The publication of this moment.

        Raises:
            HealthError: when nothing is published, or it cannot be read.
        """
        if not self._is_file:
            with warehouse_of(self.settings).reader() as reader:
                newest = _newest(reader)
                yield Pinned(reader=reader, version=newest["publication_id"], **newest)
            return
        try:
            version, cursor = self._cursor()
            try:
                reader = DuckDBReader(cursor)
                yield Pinned(reader=reader, version=version, **_newest(reader))
            finally:
                cursor.close()
        except duckdb.Error as error:
            raise unreadable_copy(self.settings.published, error) from error

    def _cursor(self) -> tuple[str, duckdb.DuckDBPyConnection]:
        """A cursor of the file of this moment, and its version."""
        with self._lock:
            version = self.version()
            while self._open is None or self._open[0] != version:
                # Others may still read the one before: it closes with their last cursor.
                self._open = None
                connection = files.connect_published(self.settings.published)
                opened, version = version, self.version()
                if opened == version:
                    self._open = (version, connection)
            cursor = self._open[1].cursor()
        files.select_published(cursor)
        return version, cursor


def _newest(reader: Reader) -> dict[str, Any]:
    """The row of the publication that is open."""
    rows = reader.records(
        """
        select
            publication_id,
            as_of_date,
            published_at,
            scoring_version,
            checks_run,
            checks_passed,
            newest_input_at
        from {marts}.fct_health__publications
        order by published_at desc, publication_id desc
        limit 1
        """
    )
    if not rows:
        raise HealthError("what readers have lists no publication: look at customer-health status")
    return rows[0]
