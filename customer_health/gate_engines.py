"""What differs between the databases that a gate can judge: connecting, reading text safely.

The suites, their queries (`expectations/views/`) and the statistics of the landing gate are written
once, in SQL that DuckDB and PostgreSQL read alike. Whatever they do not read alike is a method
here. Both engines leave the judged database as it was: DuckDB attaches the file read-only, on
PostgreSQL only temporary relations are made, after which the session is set to read only.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

from customer_health.errors import HealthError, first_line

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

TypeClass = Literal["text", "zoned", "naive", "date", "number", "other"]

URL_VARIABLE = "CUSTOMER_HEALTH_POSTGRES_URL"
_SIZE = re.compile(r"\d+(\.\d+)?\s*(B|[KMGT]i?B|%)", re.IGNORECASE)
_SOURCE = "source"  # name under which a DuckDB file is attached

# What counts as an instant and as a number in text: the patterns of the staging models
# (macros/portability/timestamp_patterns.sql, parse_double.sql, looks_like_number.sql).
_CALENDAR = (
    "([0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    "|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])"
    "|[0-9]{2}([02468][048]|[13579][26])-02-29)"
)
_CLOCK = "[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?"
_ZONE = " ?(Z|z|UTC|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)"
NAIVE_INSTANT = f"^{_CALENDAR}{_CLOCK}$"
_ANY_INSTANT = f"^{_CALENDAR}({_CLOCK}({_ZONE})?)?$"
_NUMBER = "^[+-]?([0-9]{1,200}([.][0-9]{0,200})?|[.][0-9]{1,200})([eE][+-]?[0-9]{1,2})?$"
_NUMBER_OF_ANY_SIZE = (
    "^[+-]?(nan|inf|infinity|([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?)$"  # of lower(text)
)
# Digits dressed up for people: `1,234.50`, `$5`, `(5)`, `12 EUR`, `7 %`, `1'000`.
_FORMATTED = (
    "^([a-z]{3} ?)?[-+(]*[$€£¥]? ?[-+]?[0-9][0-9., '\u00a0\u202f]* ?[)$€£¥%-]*( ?[a-z]{3})?$"
)


class NoFilesError(Exception):
    """A view of the raw schema reads files that are not there."""


class Engine(ABC):
    """A database to judge.

    Attributes:
        label: what the report calls it; holds neither folder nor password.
        url: SQLAlchemy URL of the connection on which the gate works; holds no password.
    """

    label: str
    url: str

    # -- the session -----------------------------------------------------------------------------
    def connecting(self) -> AbstractContextManager[None]:
        """What must hold while connections are opened."""
        return nullcontext()

    @abstractmethod
    def begin(self, connection: Connection, work: Path) -> None:
        """Put the session in order: UTC, limits, the judged database attached.

        Raises:
            FileNotFoundError: when there is no such database.
        """

    @abstractmethod
    def finish(self, connection: Connection) -> None:
        """Called when all relations are made, before rules run."""

    def run(self, connection: Connection, sql: str) -> Any:
        """Execute a statement as it is: `%` in it is no parameter."""
        return connection.execution_options(no_parameters=True).exec_driver_sql(sql)

    def leave(self, connection: Connection) -> None:
        """Called when all is judged, before the session ends."""
        return

    @abstractmethod
    def without_secrets(self, text: str) -> str:
        """A message of the database, without what nobody should read in a log."""

    # -- what is there -----------------------------------------------------------------------------
    @abstractmethod
    def tables(self, connection: Connection, schema: str) -> set[str]:
        """Names of the tables and views of a schema."""

    @abstractmethod
    def columns(self, connection: Connection, schema: str, table: str) -> dict[str, str]:
        """Types of the columns of a relation by name, in order.

        Raises:
            NoFilesError: for a view of files that are not there.
        """

    @abstractmethod
    def relation(self, schema: str, table: str) -> str:
        """Qualified and quoted name of a relation."""

    def create_view(self, name: str, query: str) -> str:
        """The statement that defines a relation which only this session sees."""
        return f"create temporary view {name} as {query}"

    def create_table(self, name: str, query: str) -> str:
        """The statement that keeps the rows of a query for this session."""
        return f"create temporary table {name} as {query}"

    def keep_rows(
        self,
        connection: Connection,
        name: str,
        columns: Mapping[str, str],
        rows: Iterable[Sequence[Any]],
    ) -> None:
        """Create a relation of this session from values; they are bound, never written into SQL.

        Args:
            connection: its connection.
            name: of the relation.
            columns: SQL type by name.
            rows: values in that order.
        """
        from sqlalchemy import text

        empty = ", ".join(f"cast(null as {kind}) as {column}" for column, kind in columns.items())
        self.run(connection, self.create_table(name, f"select {empty} where false"))
        places = ", ".join(f":{column}" for column in columns)
        values = [dict(zip(columns, row, strict=True)) for row in rows]
        if values:
            connection.execute(text(f"insert into {name} values ({places})"), values)

    # -- reading columns -------------------------------------------------------------------------
    @abstractmethod
    def type_class(self, type_name: str) -> TypeClass:
        """What a column type is to a reader."""

    @abstractmethod
    def matches(self, sql: str, pattern: str) -> str:
        """SQL: whether text matches a regular expression of character classes."""

    @abstractmethod
    def zoned_text(self, text: str) -> str:
        """SQL: text that looks like an instant, as a timestamp in UTC; without offset it is UTC."""

    def is_finite(self, instant: str) -> str:
        """SQL: whether a timestamp is one, and no infinity."""
        return f"isfinite({instant})"

    def epoch(self, instant: str) -> str:
        """SQL: seconds from 1970 on, with their fraction."""
        return f"extract(epoch from {instant})"

    def is_until(self, instant: str, clock: str) -> str:
        """SQL: whether a timestamp is no later in its day than a time like 17:30:00.000000."""
        return f"cast({instant} as time) <= time '{clock}'"

    def identifier(self, column: str, type_name: str) -> str:
        """SQL: a column as text, blank taken as null."""
        if self.type_class(type_name) != "text":
            return f"cast({column} as varchar)"
        return trimmed(column)

    def instant(self, column: str, type_name: str) -> str:
        """SQL: a column as a timestamp in UTC, null where it is none."""
        kind = self.type_class(type_name)
        if kind == "zoned":
            return f"timezone('UTC', {column})"
        if kind in {"date", "naive"}:
            return f"cast({column} as timestamp)"
        text = trimmed(column)
        return f"case when {self.matches(text, _ANY_INSTANT)} then {self.zoned_text(text)} end"

    def number(self, column: str, type_name: str) -> str:
        """SQL: a column as a double, NaN where it is no number that a double holds."""
        if self.type_class(type_name) == "number":
            return f"cast({column} as double precision)"
        text = trimmed(column)
        return (
            f"case when {self.matches(text, _NUMBER)} then cast({text} as double precision) "
            f"when {text} is not null then cast('nan' as double precision) end"
        )

    def is_naive_instant(self, column: str, type_name: str) -> str | None:
        """SQL: whether text is an instant without an offset; None for a column of another type."""
        if self.type_class(type_name) != "text":
            return None
        return self.matches(trimmed(column), NAIVE_INSTANT)

    def is_formatted_number(self, column: str, type_name: str) -> str | None:
        """SQL: whether text is a number with separators or signs; None for another type."""
        if self.type_class(type_name) != "text":
            return None
        text = f"lower({trimmed(column)})"
        return (
            f"({self.matches(text, _FORMATTED)} and not {self.matches(text, _NUMBER_OF_ANY_SIZE)})"
        )


@dataclass(frozen=True)
class DuckDB(Engine):
    """A DuckDB file, attached read-only to an in-memory database."""

    database: Path
    url: str = "duckdb+gate:///:memory:"

    @property
    def label(self) -> str:  # type: ignore[override]
        """Name of the file."""
        return self.database.name

    def begin(self, connection: Connection, work: Path) -> None:
        """Keep to the memory and threads of the run, and spill below `home`."""
        if not self.database.is_file():
            raise FileNotFoundError(f"there is no {self.label}")
        self.run(connection, f"set temp_directory = {text_literal(str(work / 'spill'))}")
        self.run(connection, "set TimeZone = 'UTC'")
        memory = os.environ.get("CUSTOMER_HEALTH_MEMORY_LIMIT", "")
        if _SIZE.fullmatch(memory):
            self.run(connection, f"set memory_limit = {text_literal(memory)}")
        threads = os.environ.get("CUSTOMER_HEALTH_THREADS", "")
        if threads.isdigit() and int(threads) > 0:
            self.run(connection, f"set threads = {int(threads)}")
        path = text_literal(str(self.database.resolve()))
        self.run(connection, f"attach {path} as {_SOURCE} (read_only)")

    def finish(self, connection: Connection) -> None:
        """Nothing: the file cannot be written to."""

    def without_secrets(self, text: str) -> str:
        """No folders."""
        return text.replace(str(self.database.resolve()), self.label)

    def tables(self, connection: Connection, schema: str) -> set[str]:
        """Names of the tables and views of a schema of the attached file."""
        rows = self.run(
            connection,
            "select table_name from information_schema.tables where table_catalog = "
            f"{text_literal(_SOURCE)} and table_schema = {text_literal(schema)}",
        )
        return {str(row[0]) for row in rows}

    def columns(self, connection: Connection, schema: str, table: str) -> dict[str, str]:
        """Types by name. The catalogue keeps the columns that a view had when it was made;
        describe tells those that it has.
        """  # noqa: D205
        try:
            rows = self.run(connection, f"describe {self.relation(schema, table)}").fetchall()
        except Exception as error:
            if "No files found" not in str(error):
                raise
            raise NoFilesError(table) from error
        return {str(row[0]): str(row[1]) for row in rows}

    def relation(self, schema: str, table: str) -> str:
        """Name in the attached file."""
        return f"{_SOURCE}.{quoted(schema)}.{quoted(table)}"

    # The whole database is in memory, so nothing needs to be temporary in it.
    def create_view(self, name: str, query: str) -> str:
        """A plain view."""
        return f"create view {name} as {query}"

    def create_table(self, name: str, query: str) -> str:
        """A plain table."""
        return f"create table {name} as {query}"

    def type_class(self, type_name: str) -> TypeClass:
        """What `describe` names."""
        if type_name == "VARCHAR":
            return "text"
        if type_name == "TIMESTAMP WITH TIME ZONE":
            return "zoned"
        if type_name.startswith("TIMESTAMP"):
            return "naive"
        if type_name == "DATE":
            return "date"
        is_number = re.match(r"U?(TINY|SMALL|BIG|HUGE)?INT|DOUBLE|FLOAT|DECIMAL", type_name)
        return "number" if is_number else "other"

    def identifier(self, column: str, type_name: str) -> str:
        """A blank text sorts before '!'; trimming every id would take four times as long."""
        if type_name != "VARCHAR":
            return f"cast({column} as varchar)"
        return f"case when {column} < '!' then {trimmed(column)} else {column} end"

    def number(self, column: str, type_name: str) -> str:
        """NaN of a typed column as infinity: the largest value that a Parquet file tells is told
        without NaN, and DuckDB leaves out comparisons with what is larger.
        """  # noqa: D205
        number = super().number(column, type_name)
        if type_name not in {"DOUBLE", "FLOAT"}:
            return number
        return f"case when isnan({column}) then cast('infinity' as double) else {number} end"

    def matches(self, sql: str, pattern: str) -> str:
        """RE2."""
        return f"regexp_matches({sql}, {text_literal(pattern)})"

    def zoned_text(self, text: str) -> str:
        """DuckDB reads only ±hh and ±hh:mm after full seconds: others are brought to that form."""
        spelled = f"regexp_replace({text}, ' ?(Z|z|UTC)$', '+00')"
        spelled = f"regexp_replace({spelled}, ' ?([+-][0-9]{{2}}):?([0-9]{{2}})$', '\\1:\\2')"
        spelled = f"regexp_replace({spelled}, '([T ][0-9]{{2}}:[0-9]{{2}}) ?([+-])', '\\1:00\\2')"
        read = f"coalesce(try_cast({text} as timestamptz), try_cast({spelled} as timestamptz))"
        return f"timezone('UTC', {read})"


@dataclass(frozen=True)
class Postgres(Engine):
    """A PostgreSQL database.

    Attributes:
        arguments: what the driver connects with: `dsn`, or host, port, user, password, dbname and
            others. Never printed.
        where: database and host, for people.
    """

    arguments: Mapping[str, Any] = field(repr=False)
    where: str = "postgresql"
    url: str = "postgresql+gate://"

    @property
    def label(self) -> str:  # type: ignore[override]
        """Database and host."""
        return self.where

    @classmethod
    def from_url(cls, url: str) -> Postgres:
        """The database that a connection URL names.

        Raises:
            HealthError: when it is no such URL; it is not repeated, as it may hold a password.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname or parse_qs(parts.query).get("host", [None])[0]
            name = unquote(parts.path.lstrip("/"))
            is_url = parts.scheme in {"postgresql", "postgres"} and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url:
            raise HealthError(
                f"{URL_VARIABLE} is no connection URL; write it as "
                "postgresql://user:password@host:5432/database"
            )
        return cls({"dsn": url}, _place(name, host))

    @classmethod
    def from_profile(cls, output: Mapping[str, Any]) -> Postgres:
        """The database of a dbt target of type postgres."""
        names = {
            "host": "host",
            "port": "port",
            "user": "user",
            "password": "password",
            "pass": "password",
            "dbname": "dbname",
            "database": "dbname",
            "sslmode": "sslmode",
            "sslcert": "sslcert",
            "sslkey": "sslkey",
            "sslrootcert": "sslrootcert",
            "connect_timeout": "connect_timeout",
        }
        found = {
            names[key]: value
            for key, value in output.items()
            if key in names and value not in (None, "")
        }
        return cls(found, _place(str(found.get("dbname", "")), found.get("host")))

    def connecting(self) -> AbstractContextManager[None]:
        """Hand the driver what it connects with, past every configuration that is written down."""
        from customer_health.gx_postgres import connecting_with

        return connecting_with(self.arguments)

    def begin(self, connection: Connection, work: Path) -> None:
        """UTC, and quotes that are read as the standard says."""
        self.run(connection, "set time zone 'UTC'")
        self.run(connection, "set standard_conforming_strings = on")
        self.run(connection, "set application_name = 'customer_health gate'")

    def finish(self, connection: Connection) -> None:
        """From here on nothing can be written, by whatever rule."""
        self.run(connection, "set session characteristics as transaction read only")

    def without_secrets(self, text: str) -> str:
        """No password, in whatever spelling it may come back."""
        hidden = {str(self.arguments.get("password") or "")}
        dsn = str(self.arguments.get("dsn") or "")
        if dsn:
            hidden.add(dsn)
            parts = urlsplit(dsn)
            written = parts.password or ""
            hidden |= {written, unquote(written), quote(unquote(written), safe="")}
            hidden |= set(re.findall(r"password=([^&\s]+)", parts.query))
        for secret in sorted(hidden - {""}, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def tables(self, connection: Connection, schema: str) -> set[str]:
        """Names of the relations of a schema."""
        rows = self.run(
            connection,
            "select class.relname from pg_catalog.pg_class as class "
            "inner join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace "
            f"where class.relkind in ('r', 'p', 'v', 'm', 'f') "
            f"and namespace.nspname = {text_literal(schema)}",
        )
        return {str(row[0]) for row in rows}

    def columns(self, connection: Connection, schema: str, table: str) -> dict[str, str]:
        """Types by name, from the catalogue."""
        rows = self.run(
            connection,
            "select attribute.attname, pg_catalog.format_type(attribute.atttypid, null) "
            "from pg_catalog.pg_attribute as attribute "
            f"where attribute.attrelid = {text_literal(self.relation(schema, table))}::regclass "
            "and attribute.attnum > 0 and not attribute.attisdropped order by attribute.attnum",
        )
        return {str(row[0]): str(row[1]) for row in rows}

    def relation(self, schema: str, table: str) -> str:
        """Name with its schema."""
        return f"{quoted(schema)}.{quoted(table)}"

    def type_class(self, type_name: str) -> TypeClass:
        """What format_type names."""
        if type_name in {"text", "character varying", "character", "citext", '"char"', "name"}:
            return "text"
        if type_name == "timestamp with time zone":
            return "zoned"
        if type_name == "timestamp without time zone":
            return "naive"
        if type_name == "date":
            return "date"
        numbers = {"smallint", "integer", "bigint", "real", "double precision", "numeric"}
        return "number" if type_name in numbers else "other"

    def number(self, column: str, type_name: str) -> str:
        """A numeric may be larger than a double holds, which PostgreSQL takes for an error."""
        if type_name != "numeric":
            return super().number(column, type_name)
        return (
            f"case when abs({column}) < 1e300 then cast({column} as double precision) "
            f"when {column} is not null then cast('nan' as double precision) end"
        )

    def matches(self, sql: str, pattern: str) -> str:
        """POSIX regular expressions."""
        return f"({sql} ~ {text_literal(pattern)})"

    def zoned_text(self, text: str) -> str:
        """The pattern has let only through what PostgreSQL reads."""
        return f"timezone('UTC', cast({text} as timestamptz))"


def _place(name: str, host: str | None) -> str:
    """`health on db.example.com`."""
    is_socket = host is None or host.startswith("/")
    return f"{name or 'postgresql'} on {'this machine' if is_socket else host}"


def newest_scored_date(engine: Engine, schema: str) -> date:
    """The newest as_of_date of the marts in a PostgreSQL database.

    Raises:
        HealthError: when it cannot be asked, or holds no scores.
    """
    import sqlalchemy

    try:
        with engine.connecting():
            own = sqlalchemy.create_engine(engine.url)
            with own.connect() as connection:
                scores = engine.relation(schema, "fct_health__account_scores")
                rows = engine.run(connection, f"select max(as_of_date) from {scores}").fetchall()
            own.dispose()
    except ImportError as error:
        raise missing_driver() from error
    except Exception as error:
        original = getattr(error, "orig", None) or error
        text = engine.without_secrets(str(original).split("\nLINE ")[0])
        raise HealthError(f"{engine.label} cannot be read: {first_line(text)}") from None
    newest = rows[0][0]
    if newest is None:
        raise HealthError(f"{engine.label} holds no scores: build the marts first")
    return date.fromisoformat(str(newest))


def missing_driver() -> HealthError:
    """What to do without the driver."""
    return HealthError(
        "the driver of PostgreSQL is not installed: pip install 'customer-health[postgres]'"
    )


# -- SQL by hand ---------------------------------------------------------------------------------
def quoted(identifier: str) -> str:
    """An identifier of any text."""
    return '"' + identifier.replace('"', '""') + '"'


def text_literal(value: str) -> str:
    """A text of any characters."""
    return "'" + value.replace("'", "''") + "'"


def trimmed(column: str) -> str:
    """SQL: a column as trimmed text, blank taken as null."""
    return f"nullif(trim(cast({column} as varchar)), '')"
