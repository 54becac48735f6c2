"""Great Expectations on DuckDB: the one place that touches private names of Great Expectations.

Great Expectations 1.24 does not list DuckDB among its databases. Through duckdb-engine every metric
fails with "list index out of range", because the connection is closed before the result is
fetched, and DuckDB drops the result with it. The remedy is to name DuckDB among the dialects whose
connection is kept open. That list is private, so Great Expectations is pinned exactly, `enable`
checks what it relies on, and a test fails when a new version has moved it.

`GateDialect` is plain SQLAlchemy: duckdb-engine looks columns up in the catalogue of all attached
databases by table name, which is slow over views of files and mixes the columns of two tables of
one name; asking DuckDB to describe the table is neither.

Column types and regular expressions would need more private names. The gates use neither: types are
the contracts' job.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duckdb_engine import Dialect
from sqlalchemy import types
from sqlalchemy.dialects import registry

if TYPE_CHECKING:
    from great_expectations.data_context import FileDataContext
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from sqlalchemy.engine import Connection

TESTED_VERSION = "1.24.1"
DATASOURCE = "gate"
IN_MEMORY = "duckdb+gate:///:memory:"
_CONNECTION_VARIABLE = "CUSTOMER_HEALTH_GATE_CONNECTION"

registry.register("duckdb.gate", __name__, "GateDialect")


class GateDialect(Dialect):
    """The dialect of duckdb-engine, with columns and keys looked up by `describe`."""

    supports_statement_cache = False

    def get_columns(  # type: ignore[override]
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """Names of the columns of a relation; their types are not looked at."""
        parts = [table_name] if schema is None else [schema, table_name]
        relation = ".".join(self.identifier_preparer.quote_identifier(part) for part in parts)
        described = connection.exec_driver_sql(f"describe {relation}").fetchall()
        return [
            {"name": row[0], "type": types.NullType(), "nullable": True, "default": None}
            for row in described
        ]

    def get_pk_constraint(  # type: ignore[override]
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> dict[str, Any]:
        """No key: the gates look at views and at copies of query results."""
        return {"constrained_columns": [], "name": None}


class _DialectName(str):
    """The name of a dialect in the form that Great Expectations keeps in its list."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The name, as the members of its own enumeration have it."""
        return str(self)


def enable() -> None:
    """Make Great Expectations keep its DuckDB connection open; harmless when called again.

    Raises:
        RuntimeError: when the installed version does not have the names that this relies on.
    """
    import great_expectations
    from great_expectations.execution_engine import sqlalchemy_execution_engine as module

    kept = getattr(module, "_PERSISTED_CONNECTION_DIALECTS", None)
    if (
        not isinstance(kept, tuple)
        or not kept
        or not all(hasattr(dialect, "value") for dialect in kept)
        or not hasattr(module, "_dialect_requires_persisted_connection")
    ):
        raise RuntimeError(
            f"Great Expectations {great_expectations.__version__} keeps no list of dialects where "
            f"{TESTED_VERSION} had it: install great-expectations=={TESTED_VERSION}"
        )
    if "duckdb" not in kept:
        module._PERSISTED_CONNECTION_DIALECTS = (*kept, _DialectName("duckdb"))


@contextmanager
def open_context(
    folder: Path, url: str = IN_MEMORY
) -> Iterator[tuple[FileDataContext, SqlAlchemyExecutionEngine]]:
    """Open the context in `folder`, with one session of a database as its datasource.

    Relations that the context validates are created through its engine, which hands out one and
    the same connection. On leaving, the connection is closed, so that whatever was attached to it
    can be opened by another process.

    Args:
        folder: a copy of expectations/ that may be written to.
        url: SQLAlchemy URL of the database; without a password.
    """
    with quiet():
        enable()
        import great_expectations

        context = great_expectations.get_context(
            mode="file",
            context_root_dir=str(folder),
            runtime_environment={_CONNECTION_VARIABLE: url},
        )
        execution_engine = context.data_sources.get(DATASOURCE).get_execution_engine()
        try:
            yield context, execution_engine
        finally:
            execution_engine.close()
            execution_engine.engine.dispose()


@contextmanager
def quiet() -> Iterator[None]:
    """Without log lines and warnings: what matters is in the results."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
