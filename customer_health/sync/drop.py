"""Files: what has changed, as one CSV or Parquet file per sync, put in place all at once.

The name holds destination, publication and delivery: a sync that was killed and is repeated with
the same publication replaces its own file, and no file is ever changed by another sync. Files sort
by time of delivery within a publication; read them in the order in which they appeared.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

from customer_health.export import safe_cell
from customer_health.sync.answers import Answer
from customer_health.sync.config import FILE_COLUMNS, Destination
from customer_health.sync.ledger import sync_folder
from customer_health.sync.mapping import PUBLICATION_ID, FieldMapping, Published
from customer_health.sync.plan import Item
from customer_health.sync.source import PUBLICATION_TYPES, relation_of


class FileDrop:
    """A folder, open for one file."""

    def __init__(
        self,
        destination: Destination,
        mapping: FieldMapping,
        published: Published,
        delivery_id: str,
    ) -> None:
        self._destination = destination
        self._mapping = mapping
        self._published = published
        self._folder = Path(destination.options["folder"])
        self._format = destination.options["format"]
        name = f"{destination.name}-{published.publication_id}-{delivery_id}.{self._format}"
        self.path = self._folder / name
        self.request_count = 0
        self.was_unclear = False

    @property
    def file(self) -> str:
        """Its path."""
        return str(self.path)

    def send(self, items: list[Item]) -> list[Answer]:
        """Write the file. It is on the disk, name included, when this returns.

        Raises:
            OSError: when it cannot be written; then there is none, or the one before.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        write = _write_csv if self._format == "csv" else self._write_parquet
        try:
            with part.open("wb") as file:
                write(file, list(self._destination.fields), self._records(items))
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path)
            sync_folder(self._folder)
        finally:
            part.unlink(missing_ok=True)
        return [Answer(item.key) for item in items]

    def close(self) -> None:
        """Nothing is left open."""

    def _remove_leftovers(self) -> None:
        """Remove what a killed sync left half written; the lock keeps others from writing now."""
        # the date of the publication follows the name, so that `a` does not mean `a-b` too
        day = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T"
        for path in self._folder.glob(f".{self._destination.name}-{day}*.tmp"):
            path.unlink(missing_ok=True)

    def _records(self, items: list[Item]) -> Iterator[dict[str, Any]]:
        """The records with all columns; of one that is cleared the key and the publication stay."""
        for item in items:
            if item.is_clearing:
                fields = self._mapping.clear(self._published)
            else:
                fields = self._mapping.render(item.row, self._published)
            yield {
                "key": item.key,
                "operation": "clear" if item.is_clearing else "update",
                **{name: fields.get(name) for name in self._destination.fields},
            }

    def _write_parquet(
        self, file: IO[bytes], names: list[str], records: Iterator[dict[str, Any]]
    ) -> None:
        """Write Parquet with the types of the published columns, so that all files are alike."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {
            "text": pa.string(),
            "bigint": pa.int64(),
            "double": pa.float64(),
            "date": pa.date32(),
            "timestamp": pa.timestamp("us", tz="UTC"),
        }
        columns = {**PUBLICATION_TYPES, **relation_of(self._destination).columns}
        schema = pa.schema([(name, pa.string()) for name in FILE_COLUMNS])
        for name in names:
            source = self._destination.fields[name]
            is_column = not source.is_template and source.columns[0] in columns
            kind = columns[source.columns[0]] if is_column else "text"
            schema = schema.append(pa.field(name, types[kind]))
        rows = [
            {name: _typed(value, schema.field(name).type) for name, value in record.items()}
            for record in records
        ]
        pq.write_table(
            pa.Table.from_pylist(rows, schema=schema).replace_schema_metadata(
                {PUBLICATION_ID: self._published.publication_id}
            ),
            file,
            compression="snappy",
        )


def _write_csv(file: IO[bytes], names: list[str], records: Iterator[dict[str, Any]]) -> None:
    """Write CSV: UTF-8, a header, empty cells for null, no cell that is taken for a formula."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*FILE_COLUMNS, *map(safe_cell, names)])
    for record in records:
        writer.writerow([safe_cell(value) for value in record.values()])
    text.flush()
    text.detach()


def _typed(value: Any, kind: Any) -> Any:
    """A value of a record for a column of Parquet: dates are texts in records."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_string(kind):
        return str(value)
    if pa.types.is_date(kind):
        return date.fromisoformat(value)
    if pa.types.is_timestamp(kind):
        return datetime.fromisoformat(value)
    return value
