"""Tables of the published copy as CSV or Parquet files.

Reads the published copy and nothing else: the file is opened read-only, without access to
anything outside of it. Rows are streamed, so that a large table needs little memory, and the file
is put in place at the end, all at once.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a
formula. In CSV such texts get a leading apostrophe; numbers, dates and Parquet files stay as they
are.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health.errors import HealthError, UsageError, first_line
from customer_health.publication import (
    in_schemas,
    marts_schema,
    open_published,
    publications_in,
    snapshots_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 65_536
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Spreadsheets look past these before they decide.
_SKIPPED = " \n\u00a0\ufeff"


class Format(StrEnum):
    """What a file is written as."""

    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Exportable:
    """A table or view of the published copy; `row_count` is null for a view."""

    name: str
    kind: str
    row_count: int | None
    column_count: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Exported:
    """What was written."""

    table: str
    publication_id: str
    file: str
    format: str
    row_count: int
    escaped_cells: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def list_tables(published: Path) -> list[Exportable]:
    """The marts, views and snapshots that readers have, by name.

    Raises:
        HealthError: when nothing is published, or the copy cannot be read.
    """
    _require(published)
    with open_published(published) as connection:
        return [
            Exportable(*row)
            for row in connection.execute(
                """
                select table_name, 'table', estimated_size, column_count
                from duckdb_tables()
                where schema_name in ($marts, $snapshots)
                union all
                select view_name, 'view', null, column_count
                from duckdb_views()
                where schema_name in ($marts, $snapshots) and not internal
                order by 1
                """,
                {"marts": marts_schema(connection), "snapshots": snapshots_schema(connection)},
            ).fetchall()
        ]


def _require(published: Path) -> None:
    """Refuse where there is nothing to read.

    Raises:
        HealthError: naming the command that helps.
    """
    if not published.exists():
        raise HealthError(f"nothing is published ({published}): run `customer-health run`")
    publications_in(published)


def export(published: Path, table: str, kind: Format, target: Path | None) -> Exported:
    """Write one table of the published copy to a file.

    Args:
        published: the readers' copy.
        table: name of a mart, a view or a snapshot, with or without its schema.
        kind: CSV (UTF-8, a header, `.` as decimal point) or Parquet.
        target: file to write; None takes `<table>.<format>` in this folder.

    Raises:
        UsageError: for a table that is not published, with the nearest name.
        HealthError: when the copy cannot be read.
        OSError: when the file cannot be written; then there is none.
    """
    known = {each.name for each in list_tables(published)}
    name = table.rsplit(".", 1)[-1]
    if name not in known:
        near = get_close_matches(name, sorted(known), n=1, cutoff=0.4)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise UsageError(
            f"no published table is called {table!r}{hint}: `customer-health export --list` shows "
            "them"
        )
    path = target or Path(f"{name}.{kind}")
    if path.is_dir():
        path = path / f"{name}.{kind}"
    if path.resolve() == published.resolve():
        raise UsageError(f"--to: {path} is the published copy itself")
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    write = _write_csv if kind is Format.CSV else _write_parquet
    try:
        with open_published(published) as connection:
            publication_id = _newest_publication(connection)
            reader = _rows(connection, name)
            with part.open("wb") as file:
                row_count, escaped = write(file, reader)
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except duckdb.Error as error:
        raise HealthError(
            f"{published.name} cannot be read: {first_line(str(error), 160)}; "
            "`customer-health rollback` puts a whole copy back"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return Exported(name, publication_id, str(path), str(kind), row_count, escaped)


def _newest_publication(connection: duckdb.DuckDBPyConnection) -> str:
    """Id of what is exported, from the same opened copy."""
    rows = connection.execute(
        in_schemas(
            connection,
            "select publication_id from {marts}.fct_health__publications "
            "order by published_at desc, publication_id desc limit 1",
        )
    ).fetchall()
    return str(rows[0][0])


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> pa.RecordBatchReader:
    """The rows of a table, in batches. The name is one that the catalog listed."""
    schema = connection.execute(
        """
        select schema_name from duckdb_tables() where table_name = $name
        union all
        select schema_name from duckdb_views() where view_name = $name and not internal
        """,
        {"name": name},
    ).fetchall()[0][0]
    quoted = name.replace('"', '""')
    return connection.execute(f'from "{schema}"."{quoted}"').fetch_record_batch(ROWS_AT_ONCE)


def _write_parquet(file: IO[bytes], reader: pa.RecordBatchReader) -> tuple[int, int]:
    """Write Parquet; rows written, and cells escaped (none)."""
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(file, reader.schema, compression="snappy") as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count, 0


def _write_csv(file: IO[bytes], reader: pa.RecordBatchReader) -> tuple[int, int]:
    """Write CSV; rows written, and cells escaped.

    Null is an empty cell. Lines end in CR LF and quotes are doubled (RFC 4180).
    """
    import io

    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(reader.schema.names)
    count = escaped = 0
    for batch in reader:
        for row in _cells(batch.to_pydict().values()):
            safe = [safe_cell(value) for value in row]
            escaped += sum(
                isinstance(value, str) and cell != value
                for value, cell in zip(row, safe, strict=True)
            )
            writer.writerow(safe)
            count += 1
    text.flush()
    text.detach()
    return count, escaped


def _cells(columns: Iterable[list[Any]]) -> Iterator[tuple[Any, ...]]:
    """Columns as rows."""
    return zip(*columns, strict=True)


def safe_cell(value: Any) -> Any:
    """A value as a CSV cell that no spreadsheet takes for a formula.

    Example: `=1+1` -> `'=1+1`;  -6.5 -> -6.5;  null -> an empty cell.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and value.lstrip(_SKIPPED).startswith(_BEGINS_A_FORMULA):
        return f"'{value}"
    return value


def render(tables: list[Exportable], console: Console) -> None:
    """Print what can be exported."""
    listed = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
    listed.add_column("Table", no_wrap=True)
    listed.add_column("Rows", justify="right")
    listed.add_column("Columns", justify="right")
    for each in tables:
        rows = "view" if each.row_count is None else f"{each.row_count:,}"
        listed.add_row(escape(each.name), rows, f"{each.column_count}")
    console.print(listed)
