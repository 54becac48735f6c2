"""DuckDB: files in the home folder (`publication.py` and `rollback.py` have the guarantees)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from customer_health import publication as files
from customer_health import rollback
from customer_health.errors import HealthError, first_line
from customer_health.publication import CandidateFacts, GateCheck, Publication
from customer_health.rollback import Kept, Plan
from customer_health.warehouses.base import Reader, Warehouse

if TYPE_CHECKING:
    from customer_health.gates import GateName


class DuckDBReader(Reader):
    """A readers' copy, opened read-only and without access to anything else."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._schemas = {
            "{marts}": files.marts_schema(connection),
            "{snapshots}": files.snapshots_schema(connection),
        }

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return self._asked(sql, values).fetchall()

    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the last query."""
        return tuple(column[0] for column in self._connection.description or [])

    def arrays(self, sql: str, values: Sequence[Any] = ()) -> dict[str, Any]:
        """Columns of a query as arrays."""
        import numpy as np

        columns: dict[str, Any] = self._asked(sql, values).fetchnumpy()
        found = {}
        for name, column in columns.items():
            is_number = column.dtype.kind in "biuf"
            whole = np.ma.getdata(column).astype(np.float64 if is_number else object)
            whole[np.ma.getmaskarray(column)] = np.nan if is_number else None
            found[name] = whole
        return found

    def _asked(self, sql: str, values: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        """The connection, with the answer to a query to be fetched."""
        for name, schema in self._schemas.items():
            sql = sql.replace(name, f'"{schema}"')
        return self._connection.execute(sql, list(values))

    def has(self, mart: str) -> bool:
        """Whether the file has it as a table."""
        return bool(
            self._connection.execute(
                "select 1 from duckdb_tables() where schema_name in (?, ?) and table_name = ?",
                [*self._schemas.values(), mart],
            ).fetchall()
        )


def missing_copy(path: Path) -> HealthError:
    """What to do where nothing is published."""
    return HealthError(
        f"nothing is published yet ({path}): run `customer-health run`, or "
        "`customer-health demo` for demo data"
    )


def unreadable_copy(path: Path, error: duckdb.Error) -> HealthError:
    """What DuckDB says about a file that is no whole database, and where to look."""
    said = first_line(str(error), 160)
    return HealthError(f"{path} cannot be read ({said}): look at `customer-health status`")


@contextmanager
def open_copy(path: Path) -> Iterator[Reader]:
    """A readers' copy.

    Raises:
        HealthError: when it is missing, or cannot be read.
    """
    if not path.exists():
        raise missing_copy(path)
    try:
        with files.open_published(path) as connection:
            yield DuckDBReader(connection)
    except duckdb.Error as error:
        raise unreadable_copy(path, error) from error


class DuckDBWarehouse(Warehouse):
    """`candidate.duckdb`, `published.duckdb` and the folder `publications`."""

    engine = "duckdb"

    def gate_database(self, gate: GateName) -> Path:
        """The file of the raw tables, or of the candidate."""
        settings = self.settings
        path = settings.landing if gate == "landing" else settings.candidate
        if path.exists():
            return path
        if gate == "landing":
            raise HealthError(
                f"there are no raw tables: {path} does not exist; `customer-health demo` makes "
                "demo data, docs/configuring.md says how to connect your own"
            )
        raise HealthError(f"there is no candidate ({path}): run `customer-health run`")

    def marts_schema(self) -> str | None:
        """The schema of the candidate that holds the marts; None while there is no candidate."""
        if not self.settings.candidate.exists():
            return None
        connection = duckdb.connect(str(self.settings.candidate), read_only=True)
        try:
            return files.marts_schema(connection)
        finally:
            connection.close()

    def read_candidate(self) -> CandidateFacts:
        """Facts of the file."""
        return files.read_candidate(self.settings)

    def seal(self) -> list[int]:
        """Size and time of change of the candidate and of its write-ahead log, if there is one."""
        candidate = self.settings.candidate
        log = candidate.with_name(f"{candidate.name}.wal")
        return [
            number
            for path in (candidate, log)
            if path.exists()
            for number in (path.stat().st_size, path.stat().st_mtime_ns)
        ]

    def restore_history(self) -> list[str]:
        """Tables of the candidate, and the manifest beside the readers' copy."""
        done = files.restore_history(self.settings)
        return done + files.repair_manifest(self.settings)

    def last_publication(self) -> Publication | None:
        """Of the readers' copy, or the newest kept one if theirs is damaged."""
        return files.last_publication(self.settings)

    def publish(self, publication: Publication, checks: Sequence[GateCheck]) -> list[str]:
        """A copy of the candidate takes the place of the readers' in one `os.replace`."""
        return files.publish(self.settings, publication, checks)

    def where_readers_look(self) -> str:
        """The file."""
        return str(self.settings.published)

    def is_published(self) -> bool:
        """Whether the file is there."""
        return self.settings.published.exists()

    def published(self) -> tuple[Publication, str | None]:
        """The publication inside the file; its manifest lies beside it and with the kept copy."""
        settings = self.settings
        newest = files.publications_in(settings.published)[0]
        kept = settings.publications_dir / f"{newest.publication_id}.json"
        for path in (settings.manifest, kept):
            manifest = files.read_manifest(path)
            if manifest is not None and manifest.publication_id == newest.publication_id:
                return manifest, None
        return newest, (
            f"{settings.manifest.name} is missing or of another publication; the next run "
            "repairs it"
        )

    def reader(self) -> AbstractContextManager[Reader]:
        """The readers' copy."""
        return open_copy(self.settings.published)

    def list_kept(self) -> list[Kept]:
        """The files of the folder `publications`."""
        return rollback.list_kept(self.settings)

    def plan_rollback(self, wanted: str | None = None) -> Plan:
        """A file of the folder, read through."""
        return rollback.plan_rollback(self.settings, wanted)

    def roll_back(self, plan: Plan) -> Publication:
        """A copy of the kept file takes the place of the readers'."""
        return rollback.roll_back(self.settings, plan)
