"""Files of the demo: Parquet parts per raw table, and the landing database that shows them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from customer_health.demo.schema import TABLES
from customer_health.errors import HealthError

MAX_PART_ROWS = 2_000_000
_ROW_GROUP_ROWS = 245_760


class RawFiles:
    """Writes raw tables into a scratch folder and puts all of them in place at the end.

    A context manager: when the block raises, the earlier files stay as they are.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.rows: dict[str, int] = dict.fromkeys(TABLES, 0)
        self._parts: dict[str, int] = dict.fromkeys(TABLES, 0)
        self._scratch: Path | None = None

    def __enter__(self) -> RawFiles:
        self.target.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self.target))
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        assert self._scratch is not None
        try:
            if kind is None:
                for name in TABLES:
                    shutil.rmtree(self.target / name, ignore_errors=True)
                    os.replace(self._scratch / name, self.target / name)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def write(self, name: str, table: pa.Table) -> None:
        """Append rows to a raw table, as one or more new part files."""
        assert self._scratch is not None
        folder = self._scratch / name
        folder.mkdir(exist_ok=True)
        for low in range(0, max(len(table), 1), MAX_PART_ROWS):
            pq.write_table(
                table.slice(low, MAX_PART_ROWS),
                folder / f"part-{self._parts[name]:05d}.parquet",
                compression="snappy",
                row_group_size=_ROW_GROUP_ROWS,
                use_dictionary=[
                    column.name for column in table.schema if _repeats(column)
                ],
                store_schema=False,
            )
            self._parts[name] += 1
        self.rows[name] += len(table)


def _repeats(column: pa.Field) -> bool:
    """Tell whether a column holds few different values, so that a dictionary pays."""
    if pa.types.is_dictionary(column.type):
        return True
    return pa.types.is_string(column.type) and column.name not in {
        field.names[0] for field in TABLES.values()
    } or column.name == "loaded_at"


def create_landing(home: Path) -> Path:
    """(Re)create `home/landing.duckdb`: schema `raw`, one view per raw table over its Parquet files.

    The new file replaces the old one at once; readers of the old one keep it. Returns its path.
    Raises HealthError when there is no raw data below `home/raw`.
    """
    raw = home / "raw"
    present = [name for name in TABLES if any((raw / name).glob("*.parquet"))]
    if not present:
        raise HealthError(f"no raw tables in {raw}: run `customer-health demo` first")
    landing = home / "landing.duckdb"
    handle, scratch_name = tempfile.mkstemp(prefix=".landing-", suffix=".duckdb", dir=home)
    os.close(handle)
    scratch = Path(scratch_name)
    scratch.unlink()  # DuckDB wants to create the file itself
    try:
        with duckdb.connect(str(scratch)) as connection:
            connection.execute("create schema raw")
            for name in present:
                pattern = _sql_text(_literal_glob((raw / name).resolve()) + "/*.parquet")
                connection.execute(
                    f'create view raw."{name}" as select * from read_parquet({pattern})'
                )
            connection.execute("checkpoint")
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        landing.with_name(landing.name + ".wal").unlink(missing_ok=True)
        os.replace(scratch, landing)
    finally:
        scratch.unlink(missing_ok=True)
        scratch.with_name(scratch.name + ".wal").unlink(missing_ok=True)
    return landing


def _literal_glob(path: Path) -> str:
    """Return a path in which `*`, `?` and `[` mean themselves to DuckDB's globbing."""
    return re.sub(r"([*?\[])", r"[\1]", path.as_posix())


def _sql_text(value: str) -> str:
    """Return a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"
