"""A Spark Thrift server to judge: the gates' SQL in Spark's spelling, on one session.

The raw tables are aggregated where they lie; only counts, statistics and sample keys come over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from customer_health.gate_engines import Engine, TypeClass, quoted, text_literal
from customer_health.spark_server import SparkServer, literal, missing_driver

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


@dataclass(frozen=True)
class Spark(Engine):
    """The default catalogue of a Thrift server.

    Statements are written with double quotes and standard type names, as for the other engines;
    the dialect (`gx_spark.spelled`) turns them into Spark's.
    """

    server: SparkServer
    url: str = "hive+gate://"

    @property
    def label(self) -> str:  # type: ignore[override]
        """Server and port."""
        return self.server.where

    def connecting(self) -> AbstractContextManager[None]:
        """Hand the driver what it connects with.

        Raises:
            HealthError: when the driver is not installed.
        """
        try:
            from customer_health.gx_spark import connecting_with
        except ImportError as error:
            raise missing_driver() from error
        return connecting_with(self.server)

    def begin(self, connection: Connection, work: Path) -> None:
        """Nothing: the session was opened in UTC."""

    def finish(self, connection: Connection) -> None:
        """Nothing: a Spark session cannot be set to read only; rules only select."""

    def leave(self, connection: Connection) -> None:
        """Rows that were kept for the rules lie in the executors until they are told to go."""
        for name in sorted(self.tables(connection, "")):
            self.run(connection, f"uncache table if exists {quoted(name)}")

    def without_secrets(self, text: str) -> str:
        """What the server says, without its classes and without the password."""
        message = re.search(r"errorMessage=(['\"])(.*?)\1, operationHandle", text, re.DOTALL)
        return self.server.said(Exception(message.group(2) if message else text))

    def tables(self, connection: Connection, schema: str) -> set[str]:
        """Names of the tables and views of a schema; those of the session for the schema ''."""
        found: set[tuple[str, str]] = set()
        if schema:
            schemas = {str(row[0]) for row in self.run(connection, "show schemas")}
            if schema not in schemas:
                return set()
            for row in self.run(connection, f"show tables in {quoted(schema)}"):
                found.add((str(row[0]), str(row[1])))
        place = f" in {quoted(schema)}" if schema else ""
        for row in self.run(connection, f"show views{place}"):
            found.add((str(row[0] or ""), str(row[1])))
        return {name for where, name in found if where == schema}

    def columns(self, connection: Connection, schema: str, table: str) -> dict[str, str]:
        """Types by name."""
        rows = self.run(connection, f"describe {self.relation(schema, table)}").fetchall()
        found: dict[str, str] = {}
        for name, kind, *_ in rows:
            if not name or str(name).startswith("#"):
                break  # what follows are partitions, each once more
            found[str(name)] = str(kind)
        return found

    def relation(self, schema: str, table: str) -> str:
        """Name with its schema."""
        return f"{quoted(schema)}.{quoted(table)}"

    def create_table(self, name: str, query: str) -> str:
        """A view of the session whose rows are kept: Spark has no temporary tables."""
        return f"cache table {name} as {query}"

    def keep_rows(
        self,
        connection: Connection,
        name: str,
        columns: Mapping[str, str],
        rows: Iterable[Sequence[Any]],
    ) -> None:
        """Values are written as literals, in Spark's spelling.

        As one table of values: Spark plans a `union all` of hundreds of selects anew for each rule.
        """
        written = [
            ", ".join(
                f"cast({_standard(value)} as {kind})"
                for value, kind in zip(row, columns.values(), strict=True)
            )
            for row in rows
        ]
        if written:
            given = ", ".join(f"({values})" for values in written)
            query = f"select * from (values {given}) as given ({', '.join(columns)})"
        else:
            empty = (f"cast(null as {kind}) as {column}" for column, kind in columns.items())
            query = f"select {', '.join(empty)} where false"
        self.run(connection, f"create or replace temporary view {name} as {query}")

    def type_class(self, type_name: str) -> TypeClass:
        """What `describe` names."""
        if re.match(r"string|varchar|char", type_name):
            return "text"
        if type_name.startswith("timestamp"):
            return "naive"  # an instant, shown in UTC
        if type_name == "date":
            return "date"
        is_number = re.match(r"(tiny|small|big)?int|double|float|decimal", type_name)
        return "number" if is_number else "other"

    def matches(self, sql: str, pattern: str) -> str:
        """Regular expressions of Java."""
        return f"({sql} rlike {text_literal(pattern)})"

    def zoned_text(self, text: str) -> str:
        """Spark reads an offset only after full seconds, and Z only in upper case."""
        spelled = f"regexp_replace({text}, ' ?(Z|z|UTC)$', '+00:00')"
        spelled = (
            f"regexp_replace({spelled}, '([T ][0-9]{{2}}:[0-9]{{2}}) ?([+-][0-9:]+)$', '$1:00$2')"
        )
        return f"cast({spelled} as timestamp)"

    def is_finite(self, instant: str) -> str:
        """There are no infinite instants."""
        return f"({instant} is not null)"

    def epoch(self, instant: str) -> str:
        """Seconds with their fraction."""
        return f"cast({instant} as double precision)"

    def is_until(self, instant: str, clock: str) -> str:
        """As text: Spark has no type for the time of day."""
        return f"date_format({instant}, 'HH:mm:ss.SSSSSS') <= {text_literal(clock)}"


def _standard(value: Any) -> str:
    """A value as SQL that the dialect turns into Spark's."""
    return text_literal(value) if isinstance(value, str) else literal(value)
