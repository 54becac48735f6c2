"""A dialect of Spark for Great Expectations, over PyHive.

Great Expectations knows the name `hive`. What it and the gates write is SQL of DuckDB and
PostgreSQL; `spelled` brings the few words that Spark spells differently into its own spelling, with
literals and names left whole. As on PostgreSQL the connection string says nothing: what the driver
connects with is handed over in memory, and a gate is one session, since the relations that its
suites look at belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pyhive.sqlalchemy_hive import HiveDialect
from sqlalchemy import types
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL
from sqlalchemy.pool import Pool, StaticPool

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from customer_health.spark_server import SparkServer

_server: ContextVar[SparkServer | None] = ContextVar("server", default=None)
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`""")
_WORDS = (
    (re.compile(r"\bdouble\s+precision\b", re.IGNORECASE), "double"),
    (re.compile(r"\bvarchar\b(?!\s*\()", re.IGNORECASE), "string"),
    (re.compile(r"\bgrouping\(", re.IGNORECASE), "grouping_id("),
)

registry.register("hive.gate", __name__, "GateDialect")


def spelled(sql: str) -> str:
    """A statement of standard SQL as Spark reads it.

    Example: cast("a" as varchar) -> cast(`a` as string).
    """
    written = []
    end = 0
    for found in _QUOTED.finditer(sql):
        written += [_respelled(sql[end : found.start()]), _requoted(found.group())]
        end = found.end()
    written.append(_respelled(sql[end:]))
    return "".join(written)


def _respelled(sql: str) -> str:
    """Words outside of quotes."""
    for pattern, word in _WORDS:
        sql = pattern.sub(word, sql)
    return sql


def _requoted(quoted: str) -> str:
    """A literal or a name in Spark's quotes; a backslash in a literal is none of its own."""
    mark, inner = quoted[0], quoted[1:-1]
    if mark == "'":
        inner = inner.replace("''", "'").replace("\\", "\\\\").replace("'", "\\'")
        return f"'{inner}'"
    if mark == '"':
        return "`" + inner.replace('""', '"').replace("`", "``") + "`"
    return quoted


class GateDialect(HiveDialect):
    """PyHive on one connection, opened with what `connecting_with` holds."""

    supports_statement_cache = False

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """One connection for everybody."""
        return StaticPool

    def connect(self, *_: Any, **__: Any) -> Any:
        """A session of the server."""
        server = _server.get()
        if server is None:
            raise RuntimeError("a gate on Spark was opened outside of connecting_with")
        return server.connect()

    def initialize(self, connection: Connection) -> None:
        """Nothing to ask the server."""

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Execute in Spark's spelling."""
        cursor.execute(spelled(statement), parameters or None)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        """Execute in Spark's spelling, as it is."""
        cursor.execute(spelled(statement))

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """Names of the columns of a relation; their types are not looked at."""
        parts = [table_name] if schema is None else [schema, table_name]
        relation = ".".join(self.identifier_preparer.quote_identifier(part) for part in parts)
        described = connection.exec_driver_sql(f"describe {relation}").fetchall()
        return [
            {"name": row[0], "type": types.NullType(), "nullable": True, "default": None}
            for row in described
            if row[0] and not row[0].startswith("#")
        ]


@contextmanager
def connecting_with(server: SparkServer) -> Iterator[None]:
    """Let connections of `hive+gate://` go to one server."""
    token = _server.set(server)
    try:
        yield
    finally:
        _server.reset(token)
