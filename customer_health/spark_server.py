"""Sessions of a Spark Thrift server, for gates and publications.

The driver is PyHive's, the one that dbt uses. It has no typed parameters, so values are written
into statements as literals by `literal`, which knows how Spark reads a backslash and a quote.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from customer_health.errors import HealthError, first_line

# What the SQL of the project relies on: instants are shown and read in UTC, a cast that is
# impossible is null, and long chains of steps may be analysed to their end.
SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.analyzer.maxIterations": "1000",
}
_ASKED = {  # keys of a dbt target of type spark that PyHive's connect takes
    "host": "host",
    "port": "port",
    "user": "username",
    "auth": "auth",
    "kerberos_service_name": "kerberos_service_name",
    "password": "password",
}


@dataclass(frozen=True)
class SparkServer:
    """A Thrift server.

    Attributes:
        arguments: what the driver connects with. Never printed.
        where: server and port, for people.
    """

    arguments: Mapping[str, Any] = field(repr=False)
    where: str = "Spark"

    @classmethod
    def from_profile(cls, output: Mapping[str, Any]) -> SparkServer:
        """The server of a dbt target of type spark.

        Raises:
            HealthError: for a method of connecting other than `thrift`.
        """
        method = str(output.get("method") or "thrift")
        if method != "thrift":
            raise HealthError(
                f"profiles.yml: the target connects to Spark by {method!r}; gates and "
                "publications know the method thrift"
            )
        found = {
            name: output[key] for key, name in _ASKED.items() if output.get(key) not in (None, "")
        }
        found["port"] = int(found.get("port") or 10000)
        return cls(found, f"Spark on {found.get('host')}:{found['port']}")

    def connect(self) -> Any:
        """A session of the driver.

        Raises:
            HealthError: in one line without the password.
        """
        try:
            from pyhive import hive
        except ImportError as error:
            raise missing_driver() from error
        # Spark takes over what is set so; of other keys it takes no notice.
        settings = {f"set:hiveconf:{name}": value for name, value in SESSION.items()}
        try:
            return hive.connect(**self.arguments, configuration=settings)
        except Exception as error:  # the driver raises what thrift, sasl and sockets raise
            raise HealthError(f"{self.where} cannot be reached: {self.said(error)}") from None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for as long as the context lasts.

        Raises:
            HealthError: with what the server says, in one line.
        """
        connection = self.connect()
        try:
            yield Session(self, connection.cursor())
        finally:
            connection.close()

    def said(self, error: BaseException) -> str:
        """What the server says, in one line without the password and the names of its classes."""
        status = getattr(error.args[0] if error.args else None, "status", None)
        text = str(getattr(status, "errorMessage", None) or error)
        password = str(self.arguments.get("password") or "")
        if password:
            text = text.replace(password, "***")
        text = re.sub(r"^Error running query: ", "", text)
        text = re.sub(r"\b(?:[a-z][\w$]*\.){2,}([A-Z]\w*)", r"\1", text)
        return first_line(text.split("== SQL")[0].split("\n'")[0], 240)


@dataclass
class Session:
    """An open session; statements run one after another."""

    server: SparkServer
    cursor: Any

    def run(self, sql: str) -> None:
        """Execute a statement.

        Raises:
            HealthError: with what the server says, in one line.
        """
        from pyhive.exc import Error

        try:
            self.cursor.execute(sql)
        except Error as error:
            message = f"{self.server.where} refused: {self.server.said(error)}"
            raise HealthError(message) from error

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query; the driver gives dates as text, here they are dates.

        Raises:
            HealthError: with what the server says, in one line.
        """
        self.run(sql)
        rows = self.cursor.fetchall()
        described = self.cursor.description or []
        dates = {place for place, column in enumerate(described) if column[1] == "DATE_TYPE"}
        if not dates:
            return [tuple(row) for row in rows]
        return [
            tuple(
                date.fromisoformat(value) if place in dates and value is not None else value
                for place, value in enumerate(row)
            )
            for row in rows
        ]

    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the last query."""
        return tuple(str(column[0]).rsplit(".", 1)[-1] for column in self.cursor.description or [])


def missing_driver() -> HealthError:
    """What to do without the driver."""
    return HealthError("the driver of Spark is not installed: pip install 'customer-health[spark]'")


# -- SQL by hand ---------------------------------------------------------------------------------
def quoted(identifier: str) -> str:
    """An identifier of any text."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(value: Any) -> str:
    """A value as SQL.

    Raises:
        TypeError: for a type that the marts do not hold.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value!r}D" if math.isfinite(value) else f"double('{value}')"
    if isinstance(value, datetime):
        return f"timestamp '{value:%Y-%m-%d %H:%M:%S.%f}'"
    if isinstance(value, date):
        return f"date '{value.isoformat()}'"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    raise TypeError(f"no literal of {type(value).__name__}")


def bound(sql: str, values: Sequence[Any]) -> str:
    """A statement with `?` for each value, the values in place.

    Raises:
        ValueError: when there are more or fewer values than marks.
    """
    parts = sql.split("?")
    if len(parts) != len(values) + 1:
        raise ValueError(f"{len(parts) - 1} marks for {len(values)} values")
    written = [parts[0]]
    for value, part in zip(values, parts[1:], strict=True):
        written += [literal(value), part]
    return "".join(written)
