"""The two quality gates: the landing gate on the raw tables, the candidate gate on the marts.

The rules are Great Expectations suites in `expectations/`, their numbers are in
`expectations/thresholds.yml`. This module prepares what the suites look at, runs the checkpoint and
turns its results into a `GateReport`; it decides nothing about the data itself.

How a gate sees the data: an in-memory DuckDB attaches the database read-only and defines the
relations that the suites name. For the landing gate these are the raw tables with the columns that
rules look into read safely (`expectations/raw_columns.yml`), for the candidate gate the queries of
`expectations/views/`. The rules are pushed down as aggregates; rows leave DuckDB only as sample
keys.

A gate can end in three ways. `passed` and `failed` are about the data. `could_not_check` means that
the data was not judged: the file is missing, damaged or locked, or Great Expectations raised.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from rich.markup import escape
from rich.table import Table

from customer_health.errors import HealthError, UsageError, first_line
from customer_health.settings import RAW_TABLES

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.engine import Connection

GateName = Literal["landing", "candidate"]
Status = Literal["passed", "failed", "could_not_check"]

EXPECTATIONS = Path(__file__).resolve().parent.parent / "expectations"
SCHEMAS: dict[str, str] = {"landing": "raw", "candidate": "customer_health"}
MARTS = ("dim_health__accounts", "fct_health__account_scores", "fct_health__metric_scores")
RESULTS_FOLDER = "gate_results"
SAMPLE_KEYS = 5

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_SIZE = re.compile(r"\d+(\.\d+)?\s*(B|[KMGT]i?B|%)", re.IGNORECASE)
_SOURCE = "source"  # name under which the checked database is attached
_PREFIX = "gate__"  # of the relations that suites look at (see great_expectations.yml)
_ADDED_COLUMNS = {"row_key", "age_days"}
_EACH_TABLE = "every_table"
_COLUMN_KINDS = {"id": "varchar", "instant": "timestamp", "number": "double"}


# -- the report --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One rule on one table, and what it found.

    Attributes:
        rule: short name of the rule, such as `key_known`.
        table: the raw table or mart that it is about.
        column: the column that it is about; None where it is about the table.
        observed: what was found, in words.
        expected: what is allowed, in words.
        rows: rows (or tables, in `table_present`) that break the rule; None where none are counted.
        sample_keys: keys of some of those rows.
        passed: whether the rule holds; False also where it could not be checked.
        severity: `critical` fails the gate, `warning` and `info` do not.
        description: the rule as a sentence.
        could_check: False where Great Expectations raised, so that nothing is known.
    """

    rule: str
    table: str
    column: str | None
    observed: str
    expected: str
    rows: int | None
    sample_keys: list[str]
    passed: bool
    severity: str
    description: str = ""
    could_check: bool = True


@dataclass(frozen=True)
class GateReport:
    """What a gate found.

    Attributes:
        gate: `landing` or `candidate`.
        status: `passed`, `failed` (data bad) or `could_not_check` (data not judged).
        as_of_date: the date that the gate judged.
        database: name of the file that was checked.
        checks: every rule that ran, in the order of the suites.
        row_counts: rows per raw table, or of `scored_accounts`; kept by the caller, and handed in
            as `previous_counts` next time, once the run is accepted.
        reason: one line that says why the data could not be checked; None otherwise.
        seconds: wall time, import of Great Expectations included.
    """

    gate: str
    status: Status
    as_of_date: date
    database: str
    checks: list[Check] = field(default_factory=list)
    row_counts: dict[str, int] = field(default_factory=dict)
    reason: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> list[Check]:
        """Critical rules that the data breaks."""
        return [check for check in self._broken() if check.severity == "critical"]

    @property
    def warnings(self) -> list[Check]:
        """Rules that the data breaks without failing the gate."""
        return [check for check in self._broken() if check.severity != "critical"]

    @property
    def not_checked(self) -> list[Check]:
        """Rules that could not be checked."""
        return [check for check in self.checks if not check.could_check]

    def _broken(self) -> Iterable[Check]:
        return (check for check in self.checks if check.could_check and not check.passed)

    def summary(self) -> str:
        """Say the result in one line."""
        name = f"{self.gate} gate"
        if self.status == "could_not_check":
            return f"{name}: could not check {self.database}: {self.reason}"
        if self.status == "passed":
            more = f", {_count(len(self.warnings), 'warning')}" if self.warnings else ""
            return f"{name}: passed, {_count(len(self.checks), 'check')}{more}"
        first = self.failed[0]
        others = f" (and {len(self.failed) - 1} more)" if len(self.failed) > 1 else ""
        return (
            f"{name}: data bad, {_place(first)} ({first.rule}): {first.observed}; "
            f"expected {first.expected}{others}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values, dates as ISO text."""
        return {
            **asdict(self),
            "as_of_date": self.as_of_date.isoformat(),
            "summary": self.summary(),
            "checks_run": len(self.checks) - len(self.not_checked),
            "checks_passed": sum(check.passed for check in self.checks),
        }

    def to_json(self) -> str:
        """Give the report as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"


def render(report: GateReport, console: Console, *, all_checks: bool = False) -> None:
    """Print what a person wants to know: what is wrong with it, then what was looked at.

    Args:
        report: result of `run_gate`.
        console: where to print.
        all_checks: list the rules that hold one by one too, not only counted per table.
    """
    listed = [check for check in report.checks if all_checks or not check.passed]
    if listed:
        table = Table(title=f"{report.gate} gate, as of {report.as_of_date}", title_justify="left")
        for heading in ("", "rule", "table and column", "observed", "expected"):
            table.add_column(heading, overflow="fold")
        table.add_column("rows", justify="right")
        table.add_column("sample keys", overflow="fold")
        for check in sorted(listed, key=lambda check: check.passed):
            table.add_row(
                _verdict(check),
                check.rule,
                escape(_place(check)),
                escape(check.observed),
                escape(check.expected),
                "" if check.rows is None else f"{check.rows:,}",
                escape(", ".join(check.sample_keys)),
            )
        console.print(table)
    if report.checks and not all_checks:
        console.print(_overview(report))
    style = {"passed": "green", "failed": "bold red", "could_not_check": "bold yellow"}
    console.print(
        f"[{style[report.status]}]{escape(report.summary())}[/] ({report.seconds:.1f} s)",
        highlight=False,
        soft_wrap=True,
    )


def _verdict(check: Check) -> str:
    if not check.could_check:
        return "[yellow]not checked[/]"
    if check.passed:
        return "[green]ok[/]"
    return "[red]bad[/]" if check.severity == "critical" else f"[yellow]{check.severity}[/]"


def _overview(report: GateReport) -> Table:
    """One line a table: how many rules hold."""
    table = Table()
    for heading in ("table", "rules that hold", "rows"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for name in dict.fromkeys(check.table for check in report.checks):
        of_table = [check for check in report.checks if check.table == name]
        rows = report.row_counts.get(name)
        table.add_row(
            escape(name),
            f"{sum(check.passed for check in of_table)} of {len(of_table)}",
            "" if rows is None else f"{rows:,}",
        )
    return table


def _place(check: Check) -> str:
    return check.table if check.column is None else f"{check.table}.{check.column}"


# -- running -----------------------------------------------------------------------------------


def run_gate(
    name: GateName,
    *,
    database: Path,
    home: Path,
    as_of_date: date,
    using: Collection[str] | None = None,
    schema: str | None = None,
    previous_counts: Mapping[str, int] | None = None,
    thresholds: Path | None = None,
    expectations: Path = EXPECTATIONS,
) -> GateReport:
    """Judge the raw tables or the marts, and say what was found.

    The database is opened read-only and is closed again when this returns. Writes only below
    `home`: the validation results of the last run, in gate_results/<gate>/.

    Args:
        name: `landing` (raw tables) or `candidate` (marts).
        database: the DuckDB file to check.
        home: folder of the project's databases; working files go below it.
        as_of_date: the date that is scored; instants from its midnight (UTC) on do not count.
        using: declared raw tables; None takes the defaults of the input contract. Only the landing
            gate reads it. Leave out a table whose staging model a project replaced by its own,
            because its raw table is not that of the contract.
        schema: schema of the tables in the database; by default `raw` or `customer_health`.
        previous_counts: `row_counts` of the last accepted report. Without them only emptiness is
            judged, which is also how one accepts a lower volume.
        thresholds: a file whose values replace those of `expectations/thresholds.yml`.
        expectations: folder of the Great Expectations context.

    Raises:
        UsageError: for an unknown raw table in `using`, or none at all, or a schema name that is no
            identifier.
        HealthError: when a file of `expectations`, or `thresholds`, is not as it must be.
    """
    started = time.monotonic()
    schema = schema or SCHEMAS[name]
    if not _IDENTIFIER.fullmatch(schema):
        raise UsageError(f"schema {schema!r} is no plain identifier")
    tables = _declared(using) if name == "landing" else list(MARTS)
    limits = load_thresholds(expectations, thresholds)
    counts = dict(previous_counts or {})
    checks: list[Check] = []
    row_counts: dict[str, int] = {}
    reason = None
    try:
        if not database.is_file():
            raise FileNotFoundError(f"there is no {database.name}")
        checks, row_counts = _run_checkpoint(
            name,
            database=database,
            home=home,
            as_of_date=as_of_date,
            tables=tables,
            schema=schema,
            limits=limits,
            counts=counts,
            expectations=expectations,
        )
    except HealthError:
        raise
    except Exception as error:  # whatever is raised, the data was not judged
        reason = _why(error, database)
    if not checks and reason is None:
        reason = "no rule ran"
    if any(
        check.could_check and not check.passed and check.severity == "critical" for check in checks
    ):
        status: Status = "failed"
    elif reason is not None or any(not check.could_check for check in checks):
        status = "could_not_check"
        reason = reason or next(check.observed for check in checks if not check.could_check)
    else:
        status = "passed"
    return GateReport(
        gate=name,
        status=status,
        as_of_date=as_of_date,
        database=database.name,
        checks=checks,
        row_counts=row_counts,
        reason=reason,
        seconds=round(time.monotonic() - started, 3),
    )


def _declared(using: Collection[str] | None) -> list[str]:
    """Put the declared raw tables in the order of the input contract."""
    if using is None:
        return [table for table, default in RAW_TABLES.items() if default]
    for table in using:
        if table not in RAW_TABLES:
            raise UsageError(f"{table!r} is no raw table of the input contract{_near(table)}")
    if not using:
        raise UsageError("no raw table is declared, so there is nothing for the landing gate")
    return [table for table in RAW_TABLES if table in using]


def _near(name: str, known: Iterable[str] = tuple(RAW_TABLES)) -> str:
    """` (nearest: …)` for a name that is not known, or nothing."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (nearest: {found[0]})" if found else ""


def _run_checkpoint(
    gate: GateName,
    *,
    database: Path,
    home: Path,
    as_of_date: date,
    tables: list[str],
    schema: str,
    limits: Mapping[str, Any],
    counts: Mapping[str, int],
    expectations: Path,
) -> tuple[list[Check], dict[str, int]]:
    """Run the checkpoint in a copy of the context, and read its results."""
    from customer_health.gx_duckdb import open_context

    results_folder = home / RESULTS_FOLDER
    results_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{gate}-", dir=results_folder) as work:
        folder = Path(work) / "context"
        shutil.copytree(expectations, folder, ignore=shutil.ignore_patterns("uncommitted"))
        with open_context(folder) as (context, engine):
            with engine.begin() as connection:
                _limit_resources(connection, Path(work))
                _attach(connection, database)
                seen = _Seen(connection, schema, tables)
                _prepare(
                    gate, connection, seen, as_of_date=as_of_date, limits=limits, folder=folder
                )
            _keep_only_present(folder / "checkpoints" / f"{gate}.json", gate, seen)
            outcome = context.checkpoints.get(gate).run(
                expectation_parameters=_parameters(gate, limits, counts)
            )
            found = [
                (result.meta["active_batch_definition"]["data_asset_name"], result.results)
                for result in outcome.run_results.values()
            ]
        _keep_results(folder / "uncommitted" / "validations", results_folder / gate)
    return _unpack(found, _rule_order(folder=expectations), seen, counts)


def _limit_resources(connection: Connection, work: Path) -> None:
    """Keep to the memory and threads of the run, and spill below `home`."""
    connection.exec_driver_sql(f"set temp_directory = {_text(str(work / 'spill'))}")
    connection.exec_driver_sql("set TimeZone = 'UTC'")
    memory = os.environ.get("CUSTOMER_HEALTH_MEMORY_LIMIT", "")
    if _SIZE.fullmatch(memory):
        connection.exec_driver_sql(f"set memory_limit = {_text(memory)}")
    threads = os.environ.get("CUSTOMER_HEALTH_THREADS", "")
    if threads.isdigit() and int(threads) > 0:
        connection.exec_driver_sql(f"set threads = {int(threads)}")


def _attach(connection: Connection, database: Path) -> None:
    """Attach the database that is checked; DuckDB then refuses to write to it."""
    connection.exec_driver_sql(f"attach {_text(str(database.resolve()))} as {_SOURCE} (read_only)")


def _keep_only_present(checkpoint: Path, gate: str, seen: _Seen) -> None:
    """Leave the suites of tables that are not declared or not there out of the checkpoint.

    Of the missing ones the rule `table_present` speaks. Where a mart is missing, none of the other
    rules on marts can run.
    """
    content = json.loads(checkpoint.read_text(encoding="utf-8"))
    always = f"{gate}_tables"
    if gate == "landing":
        kept = {always, *(f"landing_{table}" for table in seen.columns)}
    else:
        everything = {item["name"] for item in content["validation_definitions"]}
        kept = {always} if seen.missing else everything
    content["validation_definitions"] = [
        item for item in content["validation_definitions"] if item["name"] in kept
    ]
    checkpoint.write_text(json.dumps(content), encoding="utf-8")


def _keep_results(written: Path, target: Path) -> None:
    """Replace the validation results of the last run by those of this one."""
    shutil.rmtree(target, ignore_errors=True)
    if written.is_dir():
        shutil.move(written, target)


def _why(error: BaseException, database: Path) -> str:
    """One line that says what was raised, without SQL and folders."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, OSError) and original.strerror:
        return f"{original.strerror}: {Path(str(original.filename)).name}"
    text = str(original) or type(original).__name__
    text = text.split("\nLINE ")[0].replace(str(database.resolve()), database.name)
    return first_line(text)


# -- thresholds and what the suites look at ----------------------------------------------------


def load_thresholds(
    expectations: Path = EXPECTATIONS, changes: Path | None = None
) -> dict[str, Any]:
    """Read `expectations/thresholds.yml`, with the values of `changes` in the place of its own.

    Raises:
        HealthError: for a file that cannot be read, a name that does not exist (with the nearest
            that does) or a value that is no number of its range.
    """
    path = expectations / "thresholds.yml"
    limits = _read_yaml(path)
    _check_numbers(limits, path.name)
    if changes is not None:
        _replace(limits, _read_yaml(changes), changes.name)
        _check_numbers(limits, changes.name)
    return limits


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise HealthError(f"{path.name} cannot be read: {first_line(str(error))}") from error
    if not isinstance(content, dict):
        raise HealthError(f"{path.name}: expected names and values, like expectations/{path.name}")
    return content


def _replace(
    limits: dict[str, Any], changes: Mapping[str, Any], file: str, where: str = ""
) -> None:
    """Put values of `changes` in the place of those in `limits`."""
    for name, value in changes.items():
        place = f"{where}.{name}" if where else str(name)
        known = set(limits)
        if where == "landing.tables":
            known = set(RAW_TABLES)
            limits.setdefault(name, {})
        elif where.startswith("landing.tables."):
            known = known | {"least_volume_share", "least_known_key_share"}
            known = known | {"least_usable_number_share"}
        if name not in known:
            raise HealthError(f"{file}: unknown threshold {place}{_near(str(name), known)}")
        if isinstance(limits.get(name), dict) or isinstance(value, dict):
            if not isinstance(value, dict) or not isinstance(limits.get(name), dict):
                raise HealthError(f"{file}: {place} is not of the form of thresholds.yml")
            _replace(limits[name], value, file, place)
        else:
            limits[name] = value


def _check_numbers(limits: Mapping[str, Any], file: str, where: str = "") -> None:
    for name, value in limits.items():
        place = f"{where}.{name}" if where else str(name)
        if isinstance(value, dict):
            _check_numbers(value, file, place)
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        most = 1.0 if str(name).endswith("_share") else float("inf")
        if not is_number or not 0 <= float(value) <= most or float(value) == float("inf"):
            form = "a share from 0 to 1" if most == 1.0 else "a number from 0 on"
            raise HealthError(f"{file}: {place} is {value!r}; expected {form}")


def _parameters(gate: str, limits: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """Collect what the suites take: thresholds by name, and the row counts of last time."""
    if gate == "candidate":
        rows_last_time = int(counts.get("scored_accounts", 0))
        return {**limits["candidate"], "scored_accounts__rows_last_time": rows_last_time}
    landing = limits["landing"]
    parameters: dict[str, Any] = {"largest_usable_number": landing["largest_usable_number"]}
    for table in RAW_TABLES:
        of_table = {**landing[_EACH_TABLE], **landing["tables"].get(table, {})}
        parameters.update({f"{table}__{name}": value for name, value in of_table.items()})
        parameters[f"{table}__rows_last_time"] = int(counts.get(table, 0))
    return parameters


class _Seen:
    """The relations of the attached database: which are there, and with which columns.

    Attributes:
        columns: column types by lower-case column name, by table that is there.
        missing: tables that are not there, with what there is to say about it.
    """

    def __init__(self, connection: Connection, schema: str, tables: Collection[str]) -> None:
        rows = connection.exec_driver_sql(
            "select table_name from information_schema.tables "
            f"where table_catalog = {_text(_SOURCE)} and table_schema = {_text(schema)}"
        ).fetchall()
        there = {str(row[0]) for row in rows}
        self.schema = schema
        self.columns: dict[str, dict[str, str]] = {}
        self.names: dict[str, dict[str, str]] = {}
        self.missing: dict[str, str] = {}
        for table in tables:
            if table not in there:
                self.missing[table] = f"missing{_near(table, there - set(tables))}"
                continue
            try:
                # The catalogue of DuckDB keeps the columns that a view had when it was made;
                # describe tells those that it has.
                described = connection.exec_driver_sql(
                    f"describe {self.relation(table)}"
                ).fetchall()
            except Exception as error:
                if "No files found" not in str(error):
                    raise
                self.missing[table] = "missing: there are no files behind its view"
                continue
            self.names[table] = {str(row[0]).lower(): str(row[0]) for row in described}
            self.columns[table] = {str(row[0]).lower(): str(row[1]) for row in described}

    def relation(self, table: str) -> str:
        """Qualify and quote the name of a table."""
        return f"{_SOURCE}.{_quoted(self.schema)}.{_quoted(table)}"


def _prepare(
    gate: str,
    connection: Connection,
    seen: _Seen,
    *,
    as_of_date: date,
    limits: Mapping[str, Any],
    folder: Path,
) -> None:
    """Create the relations that the suites look at."""
    states = [
        f"({_text(table)}, {_text('missing' if table in seen.missing else 'present')})"
        for table in (*seen.columns, *seen.missing)
    ]
    connection.exec_driver_sql(
        f"create table {_PREFIX}{gate}_tables as select * "
        f"from (values {', '.join(states)}) as tables (row_key, table_state)"
    )
    if gate == "landing":
        for table, spec in _read_yaml(folder / "raw_columns.yml").items():
            if table in seen.columns:
                connection.exec_driver_sql(_raw_view(table, spec, seen, as_of_date))
        return
    if seen.missing:
        return
    run = [f"date '{as_of_date.isoformat()}' as as_of_date"]
    run += [f"{float(value)!r}::double as {name}" for name, value in limits["candidate"].items()]
    connection.exec_driver_sql(f"create table gate_run as select {', '.join(run)}")
    for table in seen.columns:
        connection.exec_driver_sql(
            f"create view {_quoted(table)} as select * from {seen.relation(table)}"
        )
    # Each query is run once and kept in memory, as the rules read it many times.
    for path in sorted((folder / "views").glob("*.sql")):
        query = path.read_text(encoding="utf-8")
        connection.exec_driver_sql(f"create table {_PREFIX}{path.stem} as {query}")


def _raw_view(table: str, spec: Mapping[str, Any], seen: _Seen, as_of_date: date) -> str:
    """Write the statement that makes a raw table readable for its suite (raw_columns.yml)."""
    types = seen.columns[table]
    names = seen.names[table]
    kinds: dict[str, str] = spec["columns"]
    typed: dict[str, str] = {}
    for column in types:
        kind = kinds.get(column, "").removeprefix("optional ")
        source = _quoted(names[column])
        typed[column] = _read_as(kind, source, types[column]) if kind else source
    for column, kind in kinds.items():
        if column not in types and kind.startswith("optional "):
            typed[column] = f"cast(null as {_COLUMN_KINDS[kind.removeprefix('optional ')]})"
    keys = [f"cast({typed[column]} as varchar)" for column in spec["row_key"] if column in typed]
    row_key = f"concat_ws('|', {', '.join(keys)})" if keys else "''"
    selected = [f"coalesce(nullif({row_key}, ''), '(no key)') as row_key"]
    newest = spec.get("newest")
    if newest in typed:
        midnight = f"timestamp '{as_of_date.isoformat()} 00:00:00'"
        selected.append(
            f"case when isfinite({typed[newest]}) and {typed[newest]} < {midnight} "
            f"then (epoch({midnight}) - epoch({typed[newest]})) / 86400.0 end as age_days"
        )
    selected += [f"{sql} as {_quoted(column)}" for column, sql in typed.items()]
    return (
        f"create view {_PREFIX}{table} as select {', '.join(selected)} from {seen.relation(table)}"
    )


def _read_as(kind: str, column: str, type_name: str) -> str:
    """Write SQL that reads a raw column of any type as an id, an instant or a number."""
    text = f"nullif(trim(cast({column} as varchar)), '')"
    if kind == "id":
        if type_name != "VARCHAR":
            return f"cast({column} as varchar)"
        # A blank text sorts before '!'; trimming every id would take four times as long.
        return f"case when {column} < '!' then {text} else {column} end"
    if kind == "instant":
        if type_name == "TIMESTAMP WITH TIME ZONE":
            return f"timezone('UTC', {column})"
        if type_name == "DATE" or type_name.startswith("TIMESTAMP"):
            return f"cast({column} as timestamp)"
        return f"timezone('UTC', try_cast({text} as timestamptz))"
    if re.match(r"U?(TINY|SMALL|BIG|HUGE)?INT|DOUBLE|FLOAT|DECIMAL", type_name):
        return f"cast({column} as double)"
    return f"case when {text} is not null then coalesce(try_cast({text} as double), 'nan') end"


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


# -- reading the results -----------------------------------------------------------------------


def _rule_order(folder: Path) -> dict[str, int]:
    """Position of each expectation in its suite, by its id."""
    order: dict[str, int] = {}
    for path in (folder / "suites").glob("*.json"):
        suite = json.loads(path.read_text(encoding="utf-8"))
        order.update({item["id"]: place for place, item in enumerate(suite["expectations"])})
    return order


def _unpack(
    found: Iterable[tuple[str, Iterable[Any]]],
    order: Mapping[str, int],
    seen: _Seen,
    counts: Mapping[str, int],
) -> tuple[list[Check], dict[str, int]]:
    """Turn the results of all suites into checks, and the row counts that they saw."""
    checks: list[Check] = []
    row_counts: dict[str, int] = {}
    for asset, results in found:
        in_order = sorted(results, key=lambda result: order[result.expectation_config.id])
        missing: set[str] = set()
        for result in in_order:
            missing.update(_missing_columns(result))
        for result in in_order:
            config = result.expectation_config
            if _raised(result) is not None and missing & _columns_of(config):
                continue  # the rule that names the missing column says it already
            if config.meta["rule"] == "table_present" and not result.success:
                checks += _absent_tables(config, seen, counts)
                continue
            if config.meta["rule"] == "row_count" and _raised(result) is None:
                row_counts[asset] = int(result.result["observed_value"])
            checks.append(_check(asset, result, seen, counts))
    return checks, row_counts


def _absent_tables(config: Any, seen: _Seen, counts: Mapping[str, int]) -> list[Check]:
    """One check for each declared table that is not there."""
    return [
        Check(
            rule=config.meta["rule"],
            table=table,
            column=None,
            observed=state + (f", {counts[table]:,} rows last time" if table in counts else ""),
            expected="a table with rows",
            rows=None,
            sample_keys=[],
            passed=False,
            severity=_severity(config),
            description=config.description or "",
        )
        for table, state in seen.missing.items()
    ]


def _check(asset: str, result: Any, seen: _Seen, counts: Mapping[str, int]) -> Check:
    config = result.expectation_config
    error = _raised(result)
    if error is not None:
        observed = first_line(error)
    elif config.meta["rule"] == "columns_present" and not result.success:
        observed = _columns_observed(asset, result, seen)
    else:
        observed = _observed(result)
        if config.meta["rule"] == "row_count" and asset in counts:
            observed += f", {counts[asset]:,} last time"
    details = result.result
    rows = details.get("unexpected_count")
    if config.type == "unexpected_rows_expectation":
        rows = details.get("observed_value")
    # The relation of the declared tables is ours; what it is about are the tables themselves.
    table = "declared tables" if config.meta["rule"] == "table_present" else asset
    return Check(
        rule=config.meta["rule"],
        table=config.meta.get("table", table),
        column=_column_of(config),
        observed=observed,
        expected=_expected(config),
        rows=None if rows is None else int(rows),
        sample_keys=_sample_keys(details),
        passed=bool(result.success) and error is None,
        severity=_severity(config),
        description=config.description or "",
        could_check=error is None,
    )


def _severity(config: Any) -> str:
    severity = config.severity
    return str(getattr(severity, "value", severity))


def _raised(result: Any) -> str | None:
    """Find what Great Expectations raised for this rule; None when it gave a verdict."""
    info = result.exception_info or {}
    for part in (info, *(value for value in info.values() if isinstance(value, dict))):
        if part.get("raised_exception"):
            return str(part.get("exception_message") or "Great Expectations raised")
    return None


def _missing_columns(result: Any) -> list[str]:
    """Columns that the rule `columns_present` found missing."""
    if result.expectation_config.meta["rule"] != "columns_present":
        return []
    details = (result.result or {}).get("details") or {}
    return list(details.get("mismatched", {}).get("missing", []))


def _columns_of(config: Any) -> set[str]:
    kwargs = config.kwargs
    named = {kwargs.get("column"), kwargs.get("column_A"), kwargs.get("column_B")}
    return {str(name) for name in (named | {config.meta.get("column")}) if name is not None}


def _column_of(config: Any) -> str | None:
    if config.meta["rule"] == "table_present":
        return None
    column = config.meta.get("column", config.kwargs.get("column"))
    return None if column is None else str(column)


def _columns_observed(asset: str, result: Any, seen: _Seen) -> str:
    """Missing columns, each with the column that it may have become."""
    known = set(result.expectation_config.kwargs["column_set"]) | _ADDED_COLUMNS
    others = set(seen.columns[asset]) - known
    named = [f"{column}{_near(column, others)}" for column in sorted(_missing_columns(result))]
    return f"missing: {', '.join(named)}"


def _observed(result: Any) -> str:
    details = result.result
    unit = result.expectation_config.meta.get("unit")
    if result.expectation_config.type == "unexpected_rows_expectation":
        bad = int(details["observed_value"])
        return f"not for {_count(bad, 'row')}" if bad else "for every row"
    if result.expectation_config.meta["rule"] == "columns_present":
        return "all there"
    if result.expectation_config.meta["rule"] == "table_present":
        return f"{_count(int(details['element_count']), 'table')}, all there"
    if "unexpected_count" in details:
        # On an empty table the sums of Great Expectations are null.
        bad = int(details["unexpected_count"] or 0)
        total = int(details["element_count"] or 0) - int(details.get("missing_count") or 0)
        rows = _count(total, "row")
        if bad:
            return f"not in {bad:,} of {rows} ({_percent(bad / total)})"
        return f"in all of {rows}" if total else "there are no values"
    value = details.get("observed_value")
    return "nothing to go by" if value is None else _measured(float(value), unit)


def _expected(config: Any) -> str:
    """Say what the rule allows, from the arguments with which it ran."""
    kwargs = config.kwargs
    if config.type == "unexpected_rows_expectation":
        sentence = str(config.description).rstrip(".")
        return sentence[:1].lower() + sentence[1:]
    if "column_set" in kwargs:
        return f"the {_count(len(kwargs['column_set']), 'required column')}"
    if config.meta["rule"] == "table_present":
        return "every declared table"
    unit = config.meta.get("unit")
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if "column_A" in kwargs:
        wanted = f"{kwargs['column_A']} not below {kwargs['column_B']}"
    elif "value_set" in kwargs:
        values = ", ".join(str(value) for value in kwargs["value_set"])
        wanted = f"not {values}" if "not_be_in_set" in config.type else values
    elif config.type == "expect_column_values_to_not_be_null":
        wanted = "known"
    elif low is not None and high is not None and not (unit and low == 0):
        wanted = f"{_measured(low, unit)} to {_measured(high, unit)}"
    elif low is not None and high is None:
        wanted = f"at least {_measured(low, unit)}"
    else:
        wanted = f"at most {_measured(high, unit)}"
    if "_values_" not in config.type:
        return wanted
    mostly = kwargs.get("mostly", 1)
    return f"{wanted} in {'every row' if mostly == 1 else f'at least {_percent(mostly)} of rows'}"


def _sample_keys(details: Mapping[str, Any]) -> list[str]:
    """Keys of some rows that break the rule."""
    rows = details.get("partial_unexpected_index_list") or (details.get("details") or {}).get(
        "unexpected_rows"
    )
    return [str(row["row_key"]) for row in (rows or [])[:SAMPLE_KEYS]]


def _measured(value: float, unit: str | None) -> str:
    if unit == "rows":
        return _count(int(value), "row")
    if unit == "share":
        return _percent(value)
    number = f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.6g}"
    return _days(value) if unit == "days" else number


def _days(value: float) -> str:
    return f"{value:.3g} day" if value == 1 else f"{value:.3g} days"


def _percent(share: float) -> str:
    text = f"{share * 100:.2f}".rstrip("0").rstrip(".")
    return f"{text}%"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
