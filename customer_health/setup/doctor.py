"""Whether everything is in place for a run, and what to do where it is not.

Each check looks at one thing and catches its own trouble, so that one that fails hides no other. No
check changes anything: what is tried out is undone.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any, Literal

import duckdb
import yaml

from customer_health import __version__
from customer_health.errors import HealthError, first_line, from_database_error
from customer_health.gate_engines import URL_VARIABLE, Postgres, quoted
from customer_health.lock import live_holder, read_holder
from customer_health.policy import PACKAGE_DIR
from customer_health.settings import (
    PROJECT_FILE,
    RAW_TABLES,
    Settings,
    size_in_bytes,
    today,
)
from customer_health.setup.catalogue import LINKS, VendorTable, connectors, freshness
from customer_health.setup.recognise import (
    LOADED,
    Place,
    Schemas,
    duckdb_place,
    missing_of,
    newest_of,
    postgres_place,
    read_schemas,
    tables_of,
)
from customer_health.targets import (
    DUCKDB,
    postgres_target,
    rendered,
    rendered_output,
    target_type,
)

State = Literal["ok", "warn", "bad"]
MARKS = {"ok": "✓", "warn": "!", "bad": "✗"}
DISTRIBUTION = "customer-health"
_LEAST_DISK_GB = 2.0
_LEAST_MEMORY_GB = 2.0
_OLDEST_POSTGRES = 15


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        state: `ok`; `warn`: a run works, but look; `bad`: a run will be refused.
        said: one line: what is so, and what to do.
    """

    check: str
    state: State
    said: str


@dataclass(frozen=True)
class Source:
    """A table that a run reads.

    Attributes:
        schema: where it is.
        table: its name.
        vendor: whose it is; None for a raw table of the input contract.
        fills: raw table that it is needed for.
        reads: how the connector reads it; None for a raw table.
    """

    schema: str
    table: str
    vendor: str | None
    fills: str
    reads: VendorTable | None = None

    @property
    def name(self) -> str:
        """With its schema."""
        return f"{self.schema}.{self.table}"


class _Examined:
    """What several checks need: asked once, and told once where it cannot be had."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._schemas: Schemas | None = None
        self._place: Place | None = None

    @property
    def engine(self) -> str:
        """Type of the dbt target."""
        return target_type(self.settings)

    @property
    def place(self) -> Place:
        """Where the raw tables are."""
        if self._place is None:
            database = postgres_target(self.settings)
            if database is not None:
                self._place = postgres_place(database[0])
            elif self.engine == DUCKDB:
                self._place = duckdb_place(self.settings.landing)
            else:
                raise _NotLookedAt(f"doctor cannot look into {self.engine}; the run's gates do")
        return self._place

    @property
    def schemas(self) -> Schemas:
        """Every table of the warehouse."""
        if self._schemas is None:
            self._schemas = read_schemas(self.place)
        return self._schemas

    def sources(self) -> list[Source]:
        """Everything that a run reads and cannot do without."""
        used = self.settings.using()
        connected = self.settings.connected()
        own = self.settings.own_staging()
        raw = str(self.settings.project_vars.get("raw_schema") or "raw")
        found = [
            Source(raw, table, None, table)
            for table in RAW_TABLES
            if used[table] and table not in connected and table not in own
        ]
        schemas = self.settings.project_vars.get("connector_schemas") or {}
        for table, vendor in connected.items():
            if used[table]:
                connector = connectors()[vendor]
                schema = str(schemas.get(vendor, vendor))
                for fills in (table, LINKS):
                    for each in connector.needed(fills):
                        found.append(Source(schema, each.name, vendor, fills, each))
        return found

    def columns(self, source: Source) -> Mapping[str, str] | None:
        """Columns of a source; None where it is missing."""
        return tables_of(self.place, self.schemas, source.schema).get(source.table)


class _NotLookedAt(HealthError):
    """A check does not apply to this engine."""


def examine(settings: Settings, progress: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Run every check.

    Args:
        settings: the project, home folder and target.
        progress: told the name of each check before it runs.
    """
    examined = _Examined(settings)
    found: list[Finding] = []
    troubles: dict[str, str] = {}  # message to the check that told it first
    for name, check in _CHECKS.items():
        progress(name)
        try:
            found += [Finding(name, state, said) for state, said in check(examined)]
            continue
        except _NotLookedAt as error:
            found.append(Finding(name, "warn", error.message))
            continue
        except HealthError as error:
            said = error.message
        except duckdb.Error as error:
            said = from_database_error(error).message
        except Exception as error:
            said = f"{type(error).__name__}: {first_line(str(error))}"
        if said in troubles:
            found.append(Finding(name, "warn", f"not looked at: see {troubles[said]}"))
        else:
            troubles[said] = name
            found.append(Finding(name, "bad", said))
    return found


def to_dict(found: list[Finding]) -> dict[str, Any]:
    """As JSON types."""
    return {
        "result": "bad" if any(each.state == "bad" for each in found) else "ok",
        "findings": [asdict(each) for each in found],
    }


_Said = list[tuple[State, str]]


# -- the machine ---------------------------------------------------------------------------------
def _python(_: _Examined) -> _Said:
    now = ".".join(map(str, sys.version_info[:3]))
    wanted = _wanted_python()
    if wanted is not None and not wanted.contains(now):
        return [("bad", f"{now}: use Python {wanted}")]
    folder = _never_compiled()
    if folder is None:
        return [("ok", now)]
    return [
        (
            "warn",
            f"{now} keeps no compiled modules (PYTHONDONTWRITEBYTECODE), so every command starts "
            f"seconds later: once, {sys.executable} -m compileall -q {folder}",
        )
    ]


def _never_compiled() -> Path | None:
    """Where the installed packages are, if Python has to compile them at every start."""
    package = importlib.util.find_spec("great_expectations")  # the largest one that a run imports
    if not sys.dont_write_bytecode or package is None or package.origin is None:
        return None
    if Path(importlib.util.cache_from_source(package.origin)).exists():
        return None
    return Path(package.origin).parent.parent


def _wanted_python() -> Any:
    """The versions of Python that the command line is made for; None where it is not installed."""
    from packaging.specifiers import SpecifierSet

    try:
        return SpecifierSet(str(metadata(DISTRIBUTION)["Requires-Python"]))
    except PackageNotFoundError:
        return None


def _packages(examined: _Examined) -> _Said:
    """Versions of dbt, its adapter, and everything that the command line pins."""
    from packaging.requirements import Requirement

    found: _Said = []
    adapter = f"dbt-{examined.engine}"
    try:
        pins = metadata(DISTRIBUTION).get_all("Requires-Dist") or []
    except PackageNotFoundError:
        pins = []
    installed: dict[str, str] = {}
    for name in ("dbt-core", adapter):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            found.append(("bad", f"{name} is not installed: pip install {name}"))
    for pin in map(Requirement, pins):
        if pin.marker is not None and not pin.marker.evaluate({"extra": ""}):
            continue
        try:
            has = version(pin.name)
        except PackageNotFoundError:
            found.append(("bad", f"{pin.name} is not installed: pip install '{pin}'"))
            continue
        if not pin.specifier.contains(has, prereleases=True):
            found.append(("bad", f"{pin.name} {has}: pip install '{pin.name}{pin.specifier}'"))
    found += _dbt_range(installed.get("dbt-core"))
    said = ", ".join(f"{name} {number}" for name, number in installed.items())
    return found or [("ok", said)]


def _dbt_range(core: str | None) -> _Said:
    """Whether dbt is one that the package accepts."""
    from dbt_common.semver import VersionSpecifier, versions_compatible

    if core is None:
        return []
    wanted = _yaml(PACKAGE_DIR / PROJECT_FILE)["require-dbt-version"]
    try:
        is_right = versions_compatible(
            VersionSpecifier.from_version_string(f"={core}"),
            *(VersionSpecifier.from_version_string(each) for each in wanted),
        )
    except Exception:  # a version that is none of the usual form is for dbt to judge
        return []
    return [] if is_right else [("bad", f"dbt-core {core}: install {' '.join(wanted)}")]


def _home(examined: _Examined) -> _Said:
    """Whether databases can be made, written and removed where they will be."""
    home = examined.settings.home
    folder = next(each for each in (home, *home.parents) if each.exists())
    scratch = folder / f".customer_health_doctor_{secrets.token_hex(4)}.duckdb"
    try:
        with duckdb.connect(str(scratch)) as connection:
            connection.execute("create schema tried")
            connection.execute("create table tried.rows as select 1 as id")
            connection.execute("create view tried.seen as select * from tried.rows")
    except duckdb.Error as error:
        return [
            (
                "bad",
                f"no database can be made in {folder} ({first_line(str(error), 120)}): check owner "
                "and permissions, or choose another --home",
            )
        ]
    finally:
        for path in (scratch, scratch.with_name(f"{scratch.name}.wal")):
            path.unlink(missing_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < _LEAST_DISK_GB:
        return [("bad", f"{home}: {free:.1f} GB free, a run needs {_LEAST_DISK_GB:.0f}: make room")]
    return [("ok", f"{home}: can be written, {free:,.0f} GB free")]


def _memory(examined: _Examined) -> _Said:
    free = _free_memory()
    if free is None:
        return [("ok", "not known on this system")]
    if free < _LEAST_MEMORY_GB:
        return [("warn", f"{free:.1f} GB free: end something, or run on a bigger machine")]
    limit = _memory_limit(examined.settings) if examined.engine == DUCKDB else None
    if limit is not None and limit > free:
        return [
            (
                "warn",
                f"{free:.0f} GB free, and DuckDB may take {limit:.0f}: set "
                f"CUSTOMER_HEALTH_MEMORY_LIMIT={max(1, int(free * 0.8))}GB",
            )
        ]
    return [("ok", f"{free:.0f} GB free")]


def _free_memory() -> float | None:
    """Gigabytes that this process may still take, by machine and by container."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found.append(
            next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1e6
        )
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            used = int((group / "memory.current").read_text(encoding="ascii"))
            found.append((int(limit) - used) / 1e9)
    except (OSError, ValueError, StopIteration):
        pass
    return min(found, default=None)


def _memory_limit(settings: Settings) -> float | None:
    """Gigabytes that the profile lets DuckDB take; None where it says nothing of the kind."""
    options = (rendered_output(settings) or {}).get("config_options")
    written = options.get("memory_limit") if isinstance(options, dict) else None
    size = size_in_bytes(str(rendered(written))) if written else None
    return None if size is None else size / 1e9


# -- the project ---------------------------------------------------------------------------------
def _variables(examined: _Examined) -> _Said:
    count = len(examined.settings.project_vars)
    first = examined.settings.history_from()
    if first is not None and first > today():
        return [
            ("bad", f"customer_health__history_from {first} has not come yet: nothing to score")
        ]
    return [("ok", f"{count} set in {PROJECT_FILE}, all known")]


def _profile(examined: _Examined) -> _Said:
    settings = examined.settings
    if rendered_output(settings) is None:
        wanted = f"target {settings.target}" if settings.target else "default target"
        name = _yaml(settings.project_dir / PROJECT_FILE).get("profile")
        return [
            (
                "bad",
                f"no profiles.yml has the profile {name} with its {wanted}: `customer-health init` "
                "shows one",
            )
        ]
    return [("ok", f"target of type {examined.engine}")]


def _installed(examined: _Examined) -> _Said:
    """Whether `dbt deps` was run, and brought what the command line belongs to."""
    project = examined.settings.project_dir
    document = _yaml(project / PROJECT_FILE)
    if document.get("name") == "customer_health":
        return [("ok", f"this is customer_health {document.get('version')}")]
    folder = project / str(document.get("packages-install-path") or "dbt_packages")
    file = folder / "customer_health" / PROJECT_FILE
    if not file.is_file():
        return [("bad", "customer_health is not installed in this project: dbt deps")]
    installed = str(_yaml(file).get("version"))
    if installed != __version__:
        return [
            (
                "bad",
                f"the project has customer_health {installed}, this command line is {__version__}: "
                "install the same version of both",
            )
        ]
    return [("ok", f"customer_health {installed}")]


def _policy(examined: _Examined) -> _Said:
    from customer_health.pipeline import check_policy

    as_of = examined.settings.demo_as_of() or today()
    try:
        hashes = check_policy(examined.settings, as_of)
    except HealthError as error:
        return [("bad", line) for line in (error.lines or [error.message])]
    return [("ok", f"version {', '.join(sorted(hashes))}")]


# -- the warehouse -------------------------------------------------------------------------------
def _connection(examined: _Examined) -> _Said:
    if examined.engine == "spark":
        return _spark(examined)
    examined.place.ask("select 1")
    found: _Said = []
    if examined.place.engine == "postgres":
        number = int(examined.place.ask("show server_version_num")[0][0])
        if number // 10_000 < _OLDEST_POSTGRES:
            found.append(
                ("bad", f"PostgreSQL {number // 10_000}: {_OLDEST_POSTGRES} is the oldest known")
            )
        if os.environ.get(URL_VARIABLE, "").strip():
            found.append(
                ("bad", f"{URL_VARIABLE} is set, and a run uses the profile only: unset it")
            )
    return found or [("ok", examined.place.label)]


def _spark(examined: _Examined) -> _Said:
    from customer_health.spark_server import SparkServer

    server = SparkServer.from_profile(rendered_output(examined.settings) or {})
    with server.session() as session:
        session.rows("select 1")
    return [("ok", server.where)]


def _permissions(examined: _Examined) -> _Said:
    database = postgres_target(examined.settings)
    if database is not None:
        examined.place.ask("select 1")  # a server that does not answer was told above
        role = str((rendered_output(examined.settings) or {}).get("role") or "")
        return _postgres_permissions(*database, role)
    if examined.engine != DUCKDB:
        raise _NotLookedAt(f"doctor cannot look into {examined.engine}; the run's gates do")
    settings = examined.settings
    if live_holder(settings.lock) is not None:
        return [("ok", "a run is writing")]
    found: _Said = []
    for file in (settings.build, settings.candidate, settings.published):
        if not file.exists():
            continue
        if not os.access(file, os.W_OK):
            found.append(("bad", f"{file} cannot be written: check its owner and permissions"))
            continue
        try:
            # read-only, so that a log that was left behind stays as it is
            with duckdb.connect(str(file), read_only=True):
                pass
        except duckdb.Error as error:
            found.append(("bad", from_database_error(error).message))
    return found or [("ok", "the databases can be written")]


def _postgres_permissions(engine: Postgres, schema: str, role: str) -> _Said:
    """Try to make what a run makes, in a transaction that is never committed."""
    import psycopg2

    scratch = f"customer_health_doctor_{secrets.token_hex(4)}"
    found: _Said = []
    try:
        session = psycopg2.connect(**{"connect_timeout": 15, **engine.arguments})
    except psycopg2.Error as error:
        raise HealthError(engine.without_secrets(first_line(str(error)))) from None
    try:
        with session.cursor() as cursor:
            cursor.execute("set statement_timeout = 60000")
            if role:
                cursor.execute(f"set local role {quoted(role)}")
            cursor.execute(
                "select nspname from pg_catalog.pg_namespace where (nspname = %s or nspname "
                "like %s) and not has_schema_privilege(nspname, 'create') order by 1",
                [schema, schema.replace("_", r"\_") + r"\_%"],
            )
            for (name,) in cursor.fetchall():
                found.append(
                    ("bad", f"schema {name} is there, and this user may not create in it: grant it")
                )
            cursor.execute(f"create schema {scratch}")
            cursor.execute(f"create table {scratch}.tried (id integer)")
            cursor.execute(f"create view {scratch}.seen as select * from {scratch}.tried")
    except psycopg2.Error as error:
        said = engine.without_secrets(first_line(str(error), 160))
        found.append(
            (
                "bad",
                f"{said}: grant create on the database, as a run makes schemas {schema}_… in it",
            )
        )
    finally:
        session.rollback()
        session.close()
    return found or [("ok", "schemas, tables and views can be made")]


def _tables(examined: _Examined) -> _Said:
    """Whether every table is there, with the columns that are needed, may be read and has rows."""
    by_table: dict[str, list[Source]] = {}
    for source in examined.sources():
        by_table.setdefault(source.name, []).append(source)
    found: dict[str, State] = {}  # a schema that is missing is told once
    mapped = examined.settings.project_vars.get("connector_columns") or {}
    for name, reasons in by_table.items():
        columns = examined.columns(reasons[0])
        if columns is None:
            found[_why_missing(examined, reasons)] = "bad"
            continue
        for gap in dict.fromkeys(
            gap
            for source in reasons
            if source.reads is not None
            for gap in missing_of(source.reads, {source.table: columns}, mapped)
        ):
            found[
                f"{reasons[0].schema}.{gap} is missing: name the right column in "
                "customer_health__connector_columns"
            ] = "bad"
        schema, table = quoted(reasons[0].schema), quoted(reasons[0].table)
        rows = examined.place.try_ask(f"select 1 from {schema}.{table} limit 1")
        if rows is None:
            found[f"{name} cannot be read: grant select on it"] = "bad"
        elif not rows:
            # who has no deals yet has accounts all the same: only a main table must have rows
            mains = [
                each for each in reasons if each.reads is None or each.reads.fills == each.fills
            ]
            said = f"{name} is empty: {_remedy(mains)}" if mains else f"{name} is empty"
            found[said] = "bad" if mains else "warn"
    return [(state, said) for said, state in found.items()] or [
        ("ok", f"{len(by_table)} tables, none empty")
    ]


def _remedy(reasons: list[Source]) -> str:
    """What to do where a table that is needed for something has no rows, or is not there."""
    fills = list(dict.fromkeys(each.fills for each in reasons if each.fills != LINKS))
    if not fills or "crm_accounts" in fills:
        return "load it"
    switches = " and ".join(f"customer_health__using_{each}" for each in fills)
    return f"load it, or set {switches}: false"


def _why_missing(examined: _Examined, reasons: list[Source]) -> str:
    """Whether a table is not there, or only not for this user."""
    source = reasons[0]
    if examined.place.engine == "postgres":
        rows = examined.place.try_ask(
            "select 1 from pg_catalog.pg_class as found "
            "inner join pg_catalog.pg_namespace as place on found.relnamespace = place.oid "
            f"where place.nspname = '{source.schema}' and found.relname = '{source.table}'"
        )
        if rows:
            return (
                f"{source.name} may not be read by this user: grant usage on schema "
                f"{source.schema} and select on its tables"
            )
    if not tables_of(examined.place, examined.schemas, source.schema):
        variable = "connector_schemas" if source.vendor else "raw_schema"
        return (
            f"there is no schema {source.schema}, where {source.vendor or 'raw tables'} should "
            f"be: name the right one in customer_health__{variable}"
        )
    return f"{source.name} is missing: {_remedy(reasons)}"


def _freshness(examined: _Examined) -> _Said:
    if examined.settings.demo_as_of() is not None:
        return [("ok", "demo data end on a fixed date")]
    old: dict[tuple[State, str, int], list[str]] = {}
    ages, seen = [], set()
    for source in examined.sources():
        columns = examined.columns(source)
        asked = freshness(source.vendor).get(source.table)
        if not columns or asked is None or source.name in seen:
            continue
        seen.add(source.name)
        loaded = asked.loaded
        if asked.column not in columns:
            column = next((name for name in LOADED if name in columns), None)
            if column is None:
                continue
            loaded = f"cast({quoted(column)} as timestamp)"
        newest = newest_of(examined.place, source.schema, source.table, loaded)
        if newest is None:
            continue
        hours = (datetime.now(UTC).replace(tzinfo=None) - newest).total_seconds() / 3600
        ages.append(hours)
        if asked.error_hours is not None and hours > asked.error_hours:
            old.setdefault(("bad", source.schema, int(hours / 24)), []).append(source.table)
        elif asked.warn_hours is not None and hours > asked.warn_hours:
            old.setdefault(("warn", source.schema, int(hours / 24)), []).append(source.table)
    if old:
        return [
            (
                state,
                f"{schema}: nothing new for {days:,} days in {', '.join(tables)}: see the loader",
            )
            for (state, schema, days), tables in old.items()
        ]
    if not ages:
        return [("ok", "not known: no table says when its rows were loaded")]
    return [("ok", f"everything was loaded in the last {max(*ages, 1):.0f} hours")]


# -- runs ----------------------------------------------------------------------------------------
def _runs(examined: _Examined) -> _Said:
    """A run in progress, one that died, and how the last one ended."""
    settings = examined.settings
    running = live_holder(settings.lock)
    if running is not None:
        return [("warn", f"{running.in_words()}: wait for it")]
    found: _Said = []
    left = read_holder(settings.lock)
    if left is not None:
        found.append(
            ("warn", f"run {left.run_id} died without having finished: the next run takes over")
        )
    from customer_health.status import last_run

    last = last_run(settings)
    if last is not None and last.get("result") != "ok":
        why = first_line(str(last.get("error") or "it was interrupted"), 160)
        found.append(("warn", f"the last one ({last['run_id']}) was {last['result']}: {why}"))
    if found:
        return found
    return [("ok", f"the last one ({last['run_id']}) ended well" if last else "none yet")]


def _publication(examined: _Examined) -> _Said:
    from customer_health.status import read_status

    status = read_status(examined.settings)
    found: _Said = [("bad", problem) for problem in status.problems]
    if status.publication is None:
        return found or [("ok", "nothing is published yet")]
    found += [("warn", remark) for remark in status.remarks]
    return found or [("ok", f"scores of {status.publication.as_of_date}")]


def _snapshots(examined: _Examined) -> _Said:
    """Whether the candidate holds history of a publication that never was."""
    from customer_health import publication

    settings = examined.settings
    if examined.engine != DUCKDB:
        examined.place.ask("select 1")
        return [("ok", "the next run looks for leftovers")]
    if live_holder(settings.lock) is not None:
        return [("ok", "a run is writing")]
    if not settings.candidate.exists():
        return [("ok", "none yet")]
    with duckdb.connect(str(settings.candidate), read_only=True) as connection:
        schema = publication.snapshots_schema(connection)
        tables = connection.execute(
            "select table_name from duckdb_columns() where schema_name = ? and column_name = "
            "'publication_id' order by 1",
            [schema],
        ).fetchall()
        names = [f"{quoted(schema)}.{quoted(table)}" for (table,) in tables]
        taken = {
            row[0]
            for name in names
            for row in connection.execute(
                f"select publication_id from {name} group by 1"
            ).fetchall()
        }
    reference = publication.find_reference(settings)
    known = (
        {each.publication_id for each in publication.publications_in(reference)}
        if reference
        else set()
    )
    if taken - known - {None}:
        return [
            (
                "warn",
                "a run died between its snapshot and its publication: the next run takes its rows "
                "back",
            )
        ]
    return [("ok", f"those of {len(known)} publications" if known else "none yet")]


def _yaml(file: Path) -> dict[str, Any]:
    """A YAML file; empty where it is none, which other checks tell."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


_CHECKS: dict[str, Callable[[_Examined], _Said]] = {
    "Python": _python,
    "packages": _packages,
    "home folder": _home,
    "memory": _memory,
    "variables": _variables,
    "profile": _profile,
    "dbt package": _installed,
    "policy": _policy,
    "connection": _connection,
    "permissions": _permissions,
    "source tables": _tables,
    "freshness": _freshness,
    "runs": _runs,
    "publication": _publication,
    "snapshots": _snapshots,
}
