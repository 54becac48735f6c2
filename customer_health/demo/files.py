"""Files of the demo: Parquet parts per raw table, and the landing database that shows them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from customer_health.demo.schema import TABLES
from customer_health.errors import HealthError

MAX_PART_ROWS = 2_000_000
_ROW_GROUP_ROWS = 245_760
_DISTINCT = {"event_id", "occurred_at"}  # no value twice in large tables: a dictionary only costs


class RawFiles:
    """Writes raw tables into a scratch folder and puts all of them in place at the end.

    A context manager: when the block raises, the earlier files stay as they are.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.rows: dict[str, int] = dict.fromkeys(TABLES, 0)
        self._parts: dict[str, int] = dict.fromkeys(TABLES, 0)
        self._scratch = target / ".incoming"

    def __enter__(self) -> Self:
        shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed run may have left
        self._scratch.mkdir(parents=True)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                for name in TABLES:
                    if (self.target / name).exists():
                        (self.target / name).replace(self._scratch / f"earlier-{name}")
                    (self._scratch / name).replace(self.target / name)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def write(self, name: str, table: pa.Table) -> None:
        """Append rows to a raw table, as one or more new part files."""
        folder = self._scratch / name
        folder.mkdir(exist_ok=True)
        for low in range(0, max(len(table), 1), MAX_PART_ROWS):
            pq.write_table(
                table.slice(low, MAX_PART_ROWS),
                folder / f"part-{self._parts[name]:05d}.parquet",
                compression="snappy",
                row_group_size=_ROW_GROUP_ROWS,
                use_dictionary=[name for name in table.column_names if name not in _DISTINCT],
                store_schema=False,
            )
            self._parts[name] += 1
        self.rows[name] += len(table)


def create_landing(home: Path) -> Path:
    """(Re)create `home/landing.duckdb`: schema `raw`, one view per table over its Parquet files.

    The new file replaces the old one at once; readers of the old one keep it. Returns its path.
    Raises HealthError when there is no raw data below `home/raw`.
    """
    raw = home / "raw"
    present = [name for name in TABLES if any((raw / name).glob("*.parquet"))]
    if not present:
        raise HealthError(f"no raw tables in {raw}: run `customer-health demo` first")
    landing = home / "landing.duckdb"
    scratch = home / f".landing-{os.getpid()}.duckdb"
    scratch.unlink(missing_ok=True)
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
        scratch.replace(landing)
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
