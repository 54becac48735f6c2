"""A PostgreSQL dialect for Great Expectations, whose connections are opened without a written URL.

Great Expectations takes a connection string, keeps it in its configuration and may repeat it in
messages. The string that it gets here, `postgresql+gate://`, says nothing: what the driver connects
with is handed over in memory, for the time of one gate. All of a gate happens on one connection,
since the relations that its suites look at are temporary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import URL
from sqlalchemy.pool import Pool, StaticPool

_arguments: ContextVar[Mapping[str, Any] | None] = ContextVar("arguments", default=None)

registry.register("postgresql.gate", __name__, "GateDialect")


class GateDialect(PGDialect_psycopg2):
    """psycopg2 on one connection, opened with what `connecting_with` holds."""

    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """One connection for everybody."""
        return StaticPool

    def create_connect_args(self, url: URL) -> Any:
        """What the driver gets."""
        arguments = _arguments.get()
        if arguments is None:
            raise RuntimeError("a gate on PostgreSQL was opened outside of connecting_with")
        return [], {"connect_timeout": 15, **arguments}


@contextmanager
def connecting_with(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Let connections of `postgresql+gate://` go to one database."""
    token = _arguments.set(arguments)
    try:
        yield
    finally:
        _arguments.reset(token)
