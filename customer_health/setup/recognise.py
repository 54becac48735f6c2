"""Which vendors' tables, and which raw tables of the input contract, a warehouse holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from customer_health.errors import HealthError, first_line, from_database_error
from customer_health.gate_engines import Postgres, missing_driver, quoted
from customer_health.settings import CONNECTORS, RAW_TABLES, Settings
from customer_health.setup.catalogue import (
    LINKS,
    Connector,
    VendorColumn,
    VendorTable,
    connectors,
    domains_of,
)
from customer_health.targets import DUCKDB, postgres_target, rendered_output, target_type

# A schema is a vendor's where it holds so much of what the connector cannot do without ...
LEAST_SHARE = 0.6
# ... and so many of all columns that the connector knows in the tables that are there. Names like
# `users` and `events` are anybody's: an application of one's own reached 0.42 (PostHog), the
# poorest tables of a vendor 0.54. A schema with the vendor's name needs less.
LEAST_FAMILIAR = 0.5
# The raw table without which a connector of the domain is of no use.
PRINCIPAL = {"crm": "crm_accounts", "product": "product_events"}
# Columns in which loaders write when a row came, best first; as in the macro vendor_rows.
LOADED = (
    "_fivetran_synced",
    "_airbyte_extracted_at",
    "_sdc_batched_at",
    "received_at",
    "loaded_at",
)
# A loader that brought nothing for so long, while another one did, is most likely switched off.
STILL_LOADED = timedelta(days=7)
# Words of a custom field's name, by the column of crm_accounts that it may be.
WORDS = {
    "plan": ("plan", "tier", "package", "edition"),
    "segment": ("segment", "size_band"),
    "csm_id": ("csm", "success_manager", "success_owner"),
    "churned_at": ("churn", "cancel", "terminated"),
    "region": ("region", "territory"),
    "seats_licensed": ("seats", "licences", "licenses"),
    "created_at": ("customer_since", "became_customer", "start_date"),
}

Columns = Mapping[str, str]  # lower-case name to type
Schemas = dict[str, dict[str, dict[str, str]]]  # schema, table, column, type; all lower case


@dataclass(frozen=True)
class Place:
    """A warehouse that can be looked at.

    Attributes:
        label: what it is called in messages, without a password.
        engine: `duckdb` or `postgres`.
        ask: rows of a query.
        connection: what a profile may say of it, such as host and port; no password.
    """

    label: str
    engine: str
    ask: Callable[[str], list[tuple[Any, ...]]]
    connection: Mapping[str, str] = field(default_factory=dict)

    def try_ask(self, query: str) -> list[tuple[Any, ...]] | None:
        """Rows of a query that only says more; None where it cannot be answered."""
        try:
            return self.ask(query)
        except HealthError:
            return None


# Seconds after which a server need not answer a question any more.
_PATIENCE_SECONDS = 60
_COLUMNS = (
    "select table_schema, table_name, column_name, data_type from information_schema.columns "
    "where table_schema not in ('information_schema', 'pg_catalog')"
)


def duckdb_place(file: Path) -> Place:
    """A DuckDB file, opened read-only.

    Raises:
        HealthError: when there is none, or it cannot be read.
    """
    if not file.is_file():
        raise HealthError(f"there is no DuckDB file {file}: name the one that your loader writes")

    def ask(query: str) -> list[tuple[Any, ...]]:
        try:
            with duckdb.connect(str(file), read_only=True) as connection:
                connection.execute("set TimeZone = 'UTC'")
                return connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise from_database_error(error) from error

    return Place(str(file), "duckdb", ask)


def postgres_place(database: Postgres) -> Place:
    """A PostgreSQL database; each question is a read-only session of its own.

    Raises:
        HealthError: when it asks, and the server cannot be reached.
    """

    def ask(query: str) -> list[tuple[Any, ...]]:
        try:
            import psycopg2
        except ImportError as error:
            raise missing_driver() from error
        try:
            session = psycopg2.connect(**{"connect_timeout": 15, **database.arguments})
        except psycopg2.Error as error:
            raise HealthError(
                f"{database.label} cannot be reached: {first_line(str(error))}"
            ) from None
        try:
            session.set_session(readonly=True)
            with session.cursor() as cursor:
                cursor.execute("set time zone 'UTC'")
                cursor.execute(f"set statement_timeout = {_PATIENCE_SECONDS * 1000}")
                cursor.execute(query)
                return list(cursor.fetchall())
        except psycopg2.Error as error:
            raise HealthError(f"{database.label}: {first_line(str(error))}") from None
        finally:
            session.close()

    return Place(database.label, "postgres", ask, _connection(database))


def place_of_target(settings: Settings) -> Place:
    """The warehouse of a project's dbt target.

    Raises:
        HealthError: when there is no such target, or it is of another type.
    """
    database = postgres_target(settings)
    if database is not None:
        return postgres_place(database[0])
    output = rendered_output(settings)
    kind = target_type(settings)
    if kind != DUCKDB:
        raise HealthError(
            f"the target is of type {kind}, and only DuckDB and PostgreSQL are looked at: "
            "docs/connectors.md says which tables each vendor needs"
        )
    file = settings.landing
    if not file.exists() and output is not None and output.get("path"):
        file = settings.project_dir / str(output["path"])
    return duckdb_place(file)


def _connection(database: Postgres) -> dict[str, str]:
    """What the profile of a database says, in the names of dbt; without the password."""
    try:
        from psycopg2.extensions import parse_dsn
    except ImportError as error:
        raise missing_driver() from error
    arguments = dict(database.arguments)
    parts = {**parse_dsn(str(arguments.pop("dsn", ""))), **arguments}
    names = ("host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey")
    return {name: str(parts[name]) for name in names if parts.get(name)}


def read_schemas(place: Place) -> Schemas:
    """Every table of a warehouse with its columns.

    On PostgreSQL `"Company"` is another table than `company`, and dbt would not find it.
    """
    found: Schemas = {}
    fold = str.lower if place.engine == "duckdb" else str
    for schema, table, column, kind in place.ask(_COLUMNS):
        tables = found.setdefault(str(schema), {})
        tables.setdefault(fold(str(table)), {})[str(column).lower()] = str(kind).lower()
    return found


def tables_of(place: Place, schemas: Schemas, schema: str) -> dict[str, dict[str, str]]:
    """The tables of a schema as the engine finds it; empty where there is none."""
    if schema in schemas or place.engine != "duckdb":
        return schemas.get(schema, {})
    return next((found for name, found in schemas.items() if name.lower() == schema.lower()), {})


@dataclass
class Filled:
    """A raw table that a vendor's connector can, or cannot, fill.

    Attributes:
        raw_table: name in the input contract.
        missing: tables and required columns that stop it, such as `ticket` or `ticket.status`.
        lacking: tables that it does without.
        empty: tables without a row, where there is none to read at all.
    """

    raw_table: str
    missing: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


@dataclass
class Recognised:
    """A vendor that was found.

    Attributes:
        vendor: as in CONNECTORS.
        schema: where its tables are.
        share: of the tables and columns that it cannot do without, 0 to 1.
        known: columns that the connector knows in the tables that are there, and how many of them
            those tables have.
        filled: what it fills.
        links: columns that carry the CRM's id, as table.column, best first.
        suggestions: columns that may be custom fields, by column of crm_accounts.
        elsewhere: further schemas that hold the vendor's tables.
        measured: by domain, rows of the main table and when the newest was loaded, in UTC; None
            where nobody can say.
        columns: of every table of the schema.
    """

    vendor: str
    schema: str
    share: float
    known: tuple[int, int]
    filled: list[Filled]
    links: list[str] = field(default_factory=list)
    suggestions: dict[str, list[str]] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    measured: dict[str, tuple[int | None, datetime | None]] = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    @property
    def is_sure(self) -> bool:
        """Whether the tables are the vendor's, and not those of somebody else by like names."""
        there, known = self.known
        return there >= LEAST_FAMILIAR * known or self.vendor in self.schema.lower()

    def rows(self, domain: str) -> int | None:
        """Rows of the main table of a domain."""
        return self.measured.get(domain, (None, None))[0]

    def newest(self, domain: str) -> datetime | None:
        """When the newest of them was loaded."""
        return self.measured.get(domain, (None, None))[1]

    def in_words(self, domain: str) -> str:
        """Both, for people; empty where neither is known."""
        rows, newest = self.rows(domain), self.newest(domain)
        said = [f"{rows:,} rows"] if rows is not None else []
        said += [f"loaded {newest:%Y-%m-%d}"] if newest else []
        return ", ".join(said)

    def of_domain(self, domain: str) -> list[Filled]:
        """Raw tables of a domain, whether it can fill them or not."""
        return [
            each
            for each in self.filled
            if each.raw_table in CONNECTORS[domain].get(self.vendor, ())
        ]

    def usable(self, domain: str) -> list[str]:
        """Raw tables of a domain that it can fill."""
        found = [
            each.raw_table for each in self.of_domain(domain) if not each.missing and not each.empty
        ]
        return found if PRINCIPAL.get(domain) in (None, *found) else []


def candidates(schemas: Schemas) -> list[Recognised]:
    """Every vendor whose tables a schema seems to hold, in its best schema."""
    found = []
    for connector in connectors().values():
        looks = [
            look
            for schema, tables in schemas.items()
            if (look := _look(connector, schema, tables)) is not None
        ]
        # of equals the one whose name says so: the name of a schema is only a hint
        looks.sort(
            key=lambda each: (
                not each.is_sure,
                -each.share,
                each.vendor != each.schema.lower(),
                each.vendor not in each.schema.lower(),
            )
        )
        if looks:
            looks[0].elsewhere = [
                each.schema for each in looks[1:] if each.is_sure and looks[0].is_sure
            ]
            found.append(looks[0])
    return found


def recognise(found: Sequence[Recognised]) -> dict[str, list[Recognised]]:
    """Vendors that can fill a domain, the one first that says more.

    Two that both could are not the same to a company: most often one of them is the old one. So
    the one whose loader still runs comes first, then the one that is meant for the domain, that
    fills more, that carries an id of the CRM, and that has more rows.
    """
    of_domain = {
        domain: [each for each in found if each.is_sure and each.usable(domain)]
        for domain in CONNECTORS
    }
    for domain, several in of_domain.items():
        loads = [load for each in several if (load := each.newest(domain)) is not None]
        last = max(loads, default=None)

        def rank(each: Recognised, domain: str = domain, last: datetime | None = last) -> Any:
            newest = each.newest(domain)
            is_old = last is not None and newest is not None and newest < last - STILL_LOADED
            has_id = domain == "crm" or bool(each.links)
            # surveys in a helpdesk come after a system for surveys, and their rows are no answers
            is_aside = domains_of(each.vendor)[0] != domain
            rows = 0 if is_aside else each.rows(domain) or 0
            return (is_old, is_aside, -len(each.usable(domain)), not has_id, -rows, -each.share)

        several.sort(key=rank)
    return of_domain


def measure(place: Place, found: Sequence[Recognised]) -> None:
    """Ask which tables have rows, and when the newest came; written into what was recognised."""
    empty: dict[tuple[str, str], bool] = {}
    for each in found:
        connector = connectors()[each.vendor]
        for filled in each.filled:
            if filled.missing:
                continue
            mains = [
                table.name
                for table in connector.tables.get(filled.raw_table, [])
                if table.fills == filled.raw_table and table.name not in filled.lacking
            ]
            for name in mains:
                if (each.schema, name) not in empty:
                    rows = place.try_ask(f"select 1 from {_named(each.schema, name)} limit 1")
                    empty[each.schema, name] = rows == []
            if mains and all(empty[each.schema, name] for name in mains):
                filled.empty = list(dict.fromkeys(mains))
    for each in found:
        for domain in domains_of(each.vendor):
            each.measured[domain] = _measured(place, each, domain)


def _measured(place: Place, found: Recognised, domain: str) -> tuple[int | None, datetime | None]:
    """Rows of the main table of a domain, and when the newest was loaded."""
    usable = found.usable(domain)
    mains = [
        table.name
        for raw_table in sorted(usable, key=lambda each: each != PRINCIPAL.get(domain))[:1]
        for table in connectors()[found.vendor].tables.get(raw_table, [])
        if table.fills == raw_table and table.name in found.columns
    ]
    if not mains:
        return None, None
    rows = place.try_ask(f"select count(*) from {_named(found.schema, mains[0])}")
    columns = found.columns[mains[0]]
    loaded = next((each for each in LOADED if each in columns), None)
    newest = (
        newest_of(place, found.schema, mains[0], f"cast({quoted(loaded)} as timestamp)")
        if loaded
        else None
    )
    return (int(rows[0][0]) if rows else None), newest


def raw_schema(schemas: Schemas) -> tuple[str | None, list[str]]:
    """The schema with most raw tables of the input contract, and those tables."""
    found = {
        schema: [table for table in RAW_TABLES if table in tables]
        for schema, tables in schemas.items()
    }
    schema = max(found, key=lambda each: len(found[each]), default=None)
    return (schema, found[schema]) if schema and found[schema] else (None, [])


def newest_of(place: Place, schema: str, table: str, loaded: str) -> datetime | None:
    """When the newest row came, in UTC without zone; None where nobody can say.

    Args:
        place: the warehouse.
        schema: of the table.
        table: its name.
        loaded: SQL of the moment in which a row came.
    """
    rows = place.try_ask(f"select max({loaded}) from {_named(schema, table)}")
    newest = rows[0][0] if rows else None
    return newest.replace(tzinfo=None) if isinstance(newest, datetime) else None


def _named(schema: str, table: str) -> str:
    return f"{quoted(schema)}.{quoted(table)}"


def _look(connector: Connector, schema: str, tables: Mapping[str, Columns]) -> Recognised | None:
    """What a schema holds of a vendor's tables; None where that is too little."""
    filled, needed, there = [], 0, 0
    for domain in domains_of(connector.vendor):
        for raw_table in CONNECTORS[domain][connector.vendor]:
            state = Filled(raw_table)
            # the links are built with whatever the vendor fills
            for table in dict.fromkeys([*connector.needed(raw_table), *connector.needed(LINKS)]):
                missing = missing_of(table, tables)
                count = 1 + sum(column.is_required for column in table.columns)
                needed += count
                there += 0 if table.name in missing else count - len(missing)
                state.missing += [each for each in missing if each not in state.missing]
            state.lacking = list(
                dict.fromkeys(
                    table.name for table in connector.helpful(raw_table) if table.name not in tables
                )
            )
            if not (connector.needed(raw_table) or set(_names(connector, raw_table)) & set(tables)):
                state.missing.append(" or ".join(state.lacking))
            filled.append(state)
    share = there / needed if needed else 0.0
    if share < LEAST_SHARE:
        return None
    return Recognised(
        connector.vendor,
        schema,
        share,
        _known(connector, tables),
        filled,
        _links(connector, tables),
        _suggestions(connector, tables),
        columns={name: dict(columns) for name, columns in tables.items()},
    )


def _known(connector: Connector, tables: Mapping[str, Columns]) -> tuple[int, int]:
    """How many of the columns that the connector knows the tables have, of how many."""
    there, known = 0, 0
    names = {table.name: table for read in connector.tables.values() for table in read}
    for name, table in names.items():
        if name in tables:
            listed = [column for column in table.columns if column.names]
            known += len(listed)
            there += sum(column.found_in(list(tables[name])) is not None for column in listed)
    return there, known


def _names(connector: Connector, raw_table: str) -> list[str]:
    return [table.name for table in connector.tables.get(raw_table, [])]


def missing_of(
    table: VendorTable,
    tables: Mapping[str, Columns],
    mapped: Mapping[str, Mapping[str, str]] | None = None,
) -> list[str]:
    """The table, or the required columns of it, that a schema lacks.

    Args:
        table: as a connector reads it.
        tables: of the schema, with their columns.
        mapped: raw table to the columns that the deployment takes from elsewhere; those have to be
            there.
    """
    columns = tables.get(table.name)
    if columns is None:
        return [table.name]
    own = (mapped or {}).get(table.fills or "", {})
    missing = []
    for column in table.columns:
        is_own = column.name in own
        names = (own[column.name],) if is_own else column.names
        read = VendorColumn(column.name, column.kind, names, column.is_required or is_own)
        if read.is_required and names and read.found_in(list(columns)) is None:
            missing.append(f"{table.name}.{names[0]}")
    return missing


def _links(connector: Connector, tables: Mapping[str, Columns]) -> list[str]:
    """Where the vendor may carry the id of the CRM; keys of a JSON document all count."""
    for table in connector.tables.get(LINKS, []):
        for column in table.columns:
            if column.name == "external_id" and table.name in tables:
                there = list(tables[table.name])
                plain = [name for name in column.names if name.lower() in there]
                keys = [
                    name
                    for name in column.names
                    if "." in name and name.lower().split(".")[0] in there
                ]
                if plain or keys:
                    return [f"{table.name}.{name}" for name in (plain[:1] or keys)]
    return []


def _suggestions(connector: Connector, tables: Mapping[str, Columns]) -> dict[str, list[str]]:
    """Columns of the CRM's table of accounts that sound like a field that was not found."""
    for table in connector.tables.get("crm_accounts", []):
        if table.fills != "crm_accounts" or table.name not in tables:
            continue
        columns = list(tables[table.name])
        known = {name.lower() for column in table.columns for name in column.names}
        # the owner of a deal is taken for the CSM where nothing says more
        found = {
            column.name
            for column in table.columns
            if column.found_in(columns) and column.name != "csm_id"
        }
        return {
            name: near
            for name, words in WORDS.items()
            if name not in found
            and (
                near := [
                    each
                    for each in columns
                    if each not in known and any(word in each for word in words)
                ][:3]
            )
        }
    return {}


@dataclass(frozen=True)
class Link:
    """How well a column links a vendor's accounts to those of the CRM.

    Attributes:
        column: table.column, or table.column.key; None where the vendor carries no id of the CRM.
        filled_share: rows that have a value, 0 to 1; None where nobody could count.
        known_share: of those, the ones whose value is an id of the CRM; None likewise.
    """

    column: str | None
    filled_share: float | None = None
    known_share: float | None = None


def look_at_link(place: Place, found: Recognised, accounts: tuple[str, str, str] | None) -> Link:
    """How many rows carry an id, and how many of those the CRM knows.

    Args:
        place: the warehouse.
        found: the vendor.
        accounts: schema, table and column of the CRM's account ids, if they are a column.
    """
    if not found.links:
        return Link(None)
    table = found.links[0].split(".")[0]
    parts = [_text(place, each.split(".", 1)[1]) for each in found.links]
    value = f"nullif(trim(coalesce({', '.join(parts)})), '')"
    if accounts is None:
        ids = "select cast(null as varchar) as id where 1 = 0"
    else:
        schema, name, column = accounts
        ids = (
            f"select distinct lower(trim(cast({quoted(column)} as varchar))) as id "
            f"from {_named(schema, name)}"
        )
    rows = place.try_ask(
        f"with links as (select {value} as link_value from {_named(found.schema, table)}), "
        f"accounts as ({ids}) "
        "select count(*), count(links.link_value), count(accounts.id) from links "
        "left join accounts on lower(links.link_value) = accounts.id"
    )
    if not rows or not rows[0][0]:
        return Link(found.links[0])
    count, filled, known = rows[0]
    is_known = known / filled if filled and accounts is not None else None
    return Link(found.links[0], filled / count, is_known)


def _text(place: Place, name: str) -> str:
    """SQL: a column, or a key of one that holds JSON, as text."""
    column, _, key = name.partition(".")
    if not key:
        return f"cast({quoted(column)} as varchar)"
    written = key.replace("'", "''")
    if place.engine == "duckdb":
        path = written.replace('"', '\\"')
        return f"json_extract_string({quoted(column)}, '$.\"{path}\"')"
    return f"cast({quoted(column)} as jsonb) ->> '{written}'"
