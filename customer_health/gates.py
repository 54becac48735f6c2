"""The two quality gates: the landing gate on the raw tables, the candidate gate on the marts.

The rules are Great Expectations suites in `expectations/`, their numbers are in
`expectations/thresholds.yml`. This module prepares what the suites look at, runs the checkpoint and
turns its results into a `GateReport`; it decides nothing about the data itself.

How a gate sees the data: a session of the judged database (`gate_engines`: an in-memory DuckDB
that attaches a file read-only, or PostgreSQL) defines the relations that the suites name. For the
landing gate these are the raw tables with their columns read safely and statistics of them
(`gate_landing`), for the candidate gate the queries of `expectations/views/`. The rules are pushed
down as aggregates; rows leave the database only as sample keys.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from customer_health.errors import HealthError, UsageError, first_line
from customer_health.gate_engines import (
    DuckDB,
    Engine,
    NoFilesError,
    missing_driver,
    quoted,
    text_literal,
)
from customer_health.gate_landing import Landed, look_at_tables, read_raw_table, view_query
from customer_health.gate_report import Check, GateName, GateReport, Status, render
from customer_health.gate_results import Known, near, rule_order, unpack
from customer_health.settings import RAW_TABLES

if TYPE_CHECKING:
    from great_expectations.checkpoint import Checkpoint
    from great_expectations.core import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
    )
    from sqlalchemy.engine import Connection

__all__ = [
    "EXPECTATIONS",
    "Check",
    "GateName",
    "GateReport",
    "load_thresholds",
    "render",
    "run_gate",
]

EXPECTATIONS = Path(__file__).resolve().parent.parent / "expectations"
SCHEMAS: dict[str, str] = {"landing": "raw", "candidate": "customer_health"}
MARTS = ("dim_health__accounts", "fct_health__account_scores", "fct_health__metric_scores")
# Marts that rules read where they are there, with the columns that these read. A candidate of an
# older version lacks them, which is no reason to refuse it.
LATER_MARTS: dict[str, dict[str, str]] = {
    "fct_health__publications": {"as_of_date": "date"},
    "fct_health__source_rows": {
        "source_table": "varchar",
        "as_of_date": "date",
        "row_count": "bigint",
        "rejected_count": "bigint",
        "orphan_count": "bigint",
    },
    "fct_health__rejected_rows": {
        "source_table": "varchar",
        "rejection_reason": "varchar",
        "row_count": "bigint",
        "last_seen_date": "date",
    },
}
RESULTS_FOLDER = "gate_results"

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PREFIX = "gate__"  # of the relations that suites look at (see great_expectations.yml)
_EACH_TABLE = "every_table"
_MOST_ROWS = 200  # wrong rows of a query that are read
_GROUPS = ("volume", "drift")  # thresholds of the landing gate that are not about one table
# Suites of the landing gate that judge statistics of all raw tables.
_STATISTICS = ("landing_values", "landing_days", "landing_drift")


# -- running -----------------------------------------------------------------------------------


def run_gate(
    name: GateName,
    *,
    database: Path | Engine,
    home: Path,
    as_of_date: date,
    using: Collection[str] | None = None,
    schema: str | None = None,
    previous_counts: Mapping[str, int] | None = None,
    previous_profile: Mapping[str, Any] | None = None,
    accept_volume: bool = False,
    naive_timezone: str | None = None,
    thresholds: Path | None = None,
    expectations: Path = EXPECTATIONS,
) -> GateReport:
    """Judge the raw tables or the marts, and say what was found.

    The database is left as it is and closed again when this returns. Writes only below `home`: the
    validation results of the last run, in gate_results/<gate>/.

    Args:
        name: `landing` (raw tables) or `candidate` (marts).
        database: the DuckDB file to check, or another engine.
        home: folder of the project's databases; working files go below it.
        as_of_date: the date that is scored; instants from its midnight (UTC) on do not count.
        using: declared raw tables; None takes the defaults of the input contract. Only the landing
            gate reads it. Leave out a table whose staging model a project replaced by its own,
            because its raw table is not that of the contract.
        schema: schema of the tables in the database; by default `raw` or `customer_health`.
        previous_counts: `row_counts` of the last accepted report. Without them only emptiness is
            judged.
        previous_profile: `profile` of the last accepted report. Without it there is no drift.
        accept_volume: fewer rows than before, and drift, are reported as warnings. An empty or
            missing table is never accepted.
        naive_timezone: zone of instants without offset, where the project names one.
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
    engine = database if isinstance(database, Engine) else DuckDB(database)
    request = _Request(
        gate=name,
        engine=engine,
        home=home,
        as_of_date=as_of_date,
        tables=tables,
        schema=schema,
        limits=limits,
        counts=dict(previous_counts or {}),
        profile=dict(previous_profile or {}),
        accept_volume=accept_volume,
        naive_timezone=naive_timezone,
        expectations=expectations,
    )
    found = _Found()
    reason = None
    try:
        found = _run_checkpoint(request)
    except HealthError:
        raise
    except Exception as error:  # whatever is raised, the data was not judged
        if isinstance(error, ModuleNotFoundError) and error.name == "psycopg2":
            raise missing_driver() from error
        reason = _why(error, engine)
    checks = found.checks
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
        database=engine.label,
        checks=checks,
        row_counts=found.row_counts,
        profile=found.profile,
        reason=reason,
        seconds=round(time.monotonic() - started, 3),
    )


def _declared(using: Collection[str] | None) -> list[str]:
    """Put the declared raw tables in the order of the input contract."""
    if using is None:
        return [table for table, default in RAW_TABLES.items() if default]
    for table in using:
        if table not in RAW_TABLES:
            raise UsageError(
                f"{table!r} is no raw table of the input contract{near(table, RAW_TABLES)}"
            )
    if not using:
        raise UsageError("no raw table is declared, so there is nothing for the landing gate")
    return [table for table in RAW_TABLES if table in using]


@dataclass(frozen=True)
class _Request:
    """The arguments of `run_gate`, checked and completed."""

    gate: GateName
    engine: Engine
    home: Path
    as_of_date: date
    tables: list[str]
    schema: str
    limits: Mapping[str, Any]
    counts: Mapping[str, int]
    profile: Mapping[str, Any]
    accept_volume: bool
    naive_timezone: str | None
    expectations: Path


@dataclass(frozen=True)
class _Found:
    """What a checkpoint found."""

    checks: list[Check] = field(default_factory=list)
    row_counts: dict[str, int] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)


def _run_checkpoint(request: _Request) -> _Found:
    """Run the checkpoint in a copy of the context, and read its results."""
    from customer_health.gx_duckdb import open_context

    gate, engine = request.gate, request.engine
    results_folder = request.home / RESULTS_FOLDER
    results_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{gate}-", dir=results_folder) as work:
        folder = Path(work) / "context"
        shutil.copytree(request.expectations, folder, ignore=shutil.ignore_patterns("uncommitted"))
        with (
            engine.connecting(),
            open_context(folder, engine.url) as (context, session),
        ):
            with session.engine.begin() as connection:
                engine.begin(connection, Path(work))
                seen = Seen(engine, connection, request.schema, request.tables)
                landed = _prepare(request, connection, seen, folder)
            with session.engine.begin() as connection:
                engine.finish(connection)
            file = folder / "checkpoints" / f"{gate}.json"
            _keep_only_present(file, gate, seen)
            # Raw tables are large, the marts are not.
            full_format = _only_count(file) if gate == "landing" else None
            rows = {} if landed is None else landed.row_counts
            counts = dict(request.counts)
            if landed is not None:
                counts = landed.comparable(counts, request.profile)
            parameters = _parameters(gate, request.limits, counts, rows)
            results = [
                (result.meta["active_batch_definition"]["data_asset_name"], result.results)
                for result in _validate(context.checkpoints.get(gate), parameters, full_format)
            ]
            with session.get_connection() as connection:
                for asset, of_asset in results:
                    _add_rows(engine, connection, asset, of_asset)
                engine.leave(connection)
        _keep_results(folder / "uncommitted" / "validations", results_folder / gate)
    known = Known(
        seen=seen,
        counts=counts,
        since={} if landed is None else landed.since,
        numbers=_numbers(gate, request.limits),
        accepts_volume=request.accept_volume,
    )
    checks, row_counts = unpack(results, rule_order(request.expectations), known)
    checks = [_unless_unknown(check, seen) for check in checks]
    return _Found(checks, row_counts, _accepted_profile(request, landed, checks))


def _validate(
    checkpoint: Checkpoint, parameters: Mapping[str, Any], full_format: Mapping[str, Any] | None
) -> Iterator[ExpectationSuiteValidationResult]:
    """Run a checkpoint; where it only counts, suites that find something run again in full.

    Args:
        checkpoint: what to run.
        parameters: of its expectations.
        full_format: the result format of the second run; None where the first one is in full.
    """
    outcome = checkpoint.run(expectation_parameters=dict(parameters))
    definitions = {each.id: each for each in checkpoint.validation_definitions}
    for result in outcome.run_results.values():
        is_clean = all(each.success and not _bad_count(each) for each in result.results)
        if full_format is None or is_clean:
            yield result
        else:
            yield definitions[result.meta["validation_id"]].run(
                checkpoint_id=checkpoint.id,
                expectation_parameters=dict(parameters),
                result_format=dict(full_format),
                run_id=outcome.run_id,  # so that its results take the place of the first ones
            )


def _bad_count(result: ExpectationValidationResult) -> int:
    """Values that a rule found and tolerates, or does not."""
    return int((result.result or {}).get("unexpected_count") or 0)


def _add_rows(engine: Engine, connection: Connection, asset: str, results: Iterable[Any]) -> None:
    """Add the wrong rows of a query that Great Expectations only counted.

    It gives them only in the result format COMPLETE, in which it also fetches the keys of every bad
    row of every raw table.
    """
    for result in results:
        config = result.expectation_config
        found = result.result or {}
        is_query = config.type == "unexpected_rows_expectation"
        if not is_query or result.success or not found.get("observed_value") or "details" in found:
            continue
        query = config.kwargs["unexpected_rows_query"].format(batch=f"{_PREFIX}{asset}")
        rows = engine.run(connection, query).mappings().fetchmany(_MOST_ROWS)
        found["details"] = {"unexpected_rows": [dict(row) for row in rows]}


def _unless_unknown(check: Check, seen: Seen) -> Check:
    """A rule on a mart that this candidate does not have yet says so, and does not hold."""
    why = seen.unknown.get(check.table)
    if why is None or not check.passed:
        return check
    return replace(check, passed=False, severity="warning", observed=why, rows=None)


def _accepted_profile(
    request: _Request, landed: Landed | None, checks: list[Check]
) -> dict[str, Any]:
    """The profile of the raw tables, with the days whose few rows a person accepts.

    An accepted day is not judged again as long as it loses no more rows.
    """
    if landed is None:
        return {}
    accepted: dict[str, dict[str, int]] = {}
    earlier = request.profile.get("accepted_days", {})
    for table, days in landed.days.items():
        thin = {
            day
            for check in checks
            if request.accept_volume and check.rule == "weekday_volume" and check.table == table
            for day in check.sample_keys
        }
        known = earlier.get(table, {})
        kept = {day: min(rows, known.get(day, rows)) for day, rows in days.items()}
        accepted[table] = {day: rows for day, rows in kept.items() if day in thin or day in known}
    return {**landed.profile, "accepted_days": {table: of for table, of in accepted.items() if of}}


def _keep_only_present(checkpoint: Path, gate: str, seen: Seen) -> None:
    """Leave the suites of tables that are not declared or not there out of the checkpoint.

    Of the missing ones the rule `table_present` speaks. Where a mart is missing, none of the other
    rules on marts can run.
    """
    content = json.loads(checkpoint.read_text(encoding="utf-8"))
    always = f"{gate}_tables"
    if gate == "landing":
        kept = {always, *_STATISTICS, *(f"landing_{table}" for table in seen.columns)}
    else:
        everything = {item["name"] for item in content["validation_definitions"]}
        kept = {always} if seen.missing else everything
    content["validation_definitions"] = [
        item for item in content["validation_definitions"] if item["name"] in kept
    ]
    checkpoint.write_text(json.dumps(content), encoding="utf-8")


def _only_count(checkpoint: Path) -> dict[str, Any]:
    """Leave out the keys of bad rows, for which Great Expectations reads the whole table once or
    twice for each rule, also where no row is bad; gives the result format that it had.
    """  # noqa: D205
    content = json.loads(checkpoint.read_text(encoding="utf-8"))
    full_format: dict[str, Any] = content["result_format"]
    content["result_format"] = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
    checkpoint.write_text(json.dumps(content), encoding="utf-8")
    return full_format


def _keep_results(written: Path, target: Path) -> None:
    """Replace the validation results of the last run by those of this one."""
    shutil.rmtree(target, ignore_errors=True)
    if written.is_dir():
        shutil.move(written, target)


def _why(error: BaseException, engine: Engine) -> str:
    """One line that says what was raised, without SQL, folders and passwords."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, OSError) and original.strerror:
        return f"{original.strerror}: {Path(str(original.filename)).name}"
    text = str(original) or type(original).__name__
    text = text.split("\nLINE ")[0].split("[SQL:")[0]
    return first_line(engine.without_secrets(text))


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
            known = known | {"least_usable_number_share", "few_bad_rows"}
        if name not in known:
            raise HealthError(f"{file}: unknown threshold {place}{near(str(name), known)}")
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


def _parameters(
    gate: str, limits: Mapping[str, Any], counts: Mapping[str, int], rows: Mapping[str, int]
) -> dict[str, Any]:
    """Collect what the suites take: thresholds by name, and the row counts of last time.

    Args:
        gate: `landing` or `candidate`.
        limits: thresholds.yml.
        counts: rows of the tables at the last accepted run.
        rows: rows of the raw tables now.
    """
    if gate == "candidate":
        rows_last_time = int(counts.get("scored_accounts", 0))
        return {**limits["candidate"], "scored_accounts__rows_last_time": rows_last_time}
    landing = limits["landing"]
    parameters: dict[str, Any] = {"largest_usable_number": landing["largest_usable_number"]}
    for table in RAW_TABLES:
        of_table = {**landing[_EACH_TABLE], **landing["tables"].get(table, {})}
        few = of_table.pop("few_bad_rows")
        for name in ("least_known_key_share", "least_usable_number_share"):
            of_table[name] = _allowing_few(of_table[name], few, rows.get(table, 0))
        parameters.update({f"{table}__{name}": value for name, value in of_table.items()})
        parameters[f"{table}__rows_last_time"] = int(counts.get(table, 0))
    return parameters


def _allowing_few(least_share: float, few: int, rows: int) -> float:
    """The share of good rows that lets a few bad ones pass, where they are less than half.

    In a small table one bad row is a large share; it is set aside like any other.
    """
    return min(least_share, max(0.5, 1 - few / rows)) if rows else least_share


def _numbers(gate: str, limits: Mapping[str, Any]) -> dict[str, float]:
    """Thresholds that queries and descriptions find by name: those that are not of one table."""
    if gate == "candidate":
        return {name: float(value) for name, value in limits["candidate"].items()}
    landing = limits["landing"]
    return {name: float(value) for group in _GROUPS for name, value in landing[group].items()}


class Seen:
    """The relations of the judged database: which are there, and with which columns.

    Attributes:
        columns: column types by lower-case column name, by table that is there.
        names: column names as written, by lower-case name, by table.
        missing: tables that are not there, with what there is to say about it.
        unknown: marts that this candidate lacks or left empty, with what there is to say.
    """

    def __init__(
        self, engine: Engine, connection: Connection, schema: str, tables: Collection[str]
    ) -> None:
        self.engine = engine
        self.connection = connection
        self.schema = schema
        self.there = engine.tables(connection, schema)
        self.columns: dict[str, dict[str, str]] = {}
        self.names: dict[str, dict[str, str]] = {}
        self.missing: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        for table in tables:
            if table not in self.there:
                others = self.there - set(tables) - set(LATER_MARTS)
                self.missing[table] = f"missing{near(table, others)}"
                continue
            try:
                described = engine.columns(connection, schema, table)
            except NoFilesError:
                self.missing[table] = "missing: there are no files behind its view"
                continue
            self.names[table] = {name.lower(): name for name in described}
            self.columns[table] = {name.lower(): kind for name, kind in described.items()}

    def relation(self, table: str) -> str:
        """Qualify and quote the name of a table."""
        return self.engine.relation(self.schema, table)


def _prepare(request: _Request, connection: Connection, seen: Seen, folder: Path) -> Landed | None:
    """Create the relations that the suites look at.

    Returns:
        What is known about the raw tables besides; None for the candidate gate.
    """
    gate, engine = request.gate, request.engine
    states = [
        f"({text_literal(table)}, '{'missing' if table in seen.missing else 'present'}')"
        for table in (*seen.columns, *seen.missing)
    ]
    values = f"select * from (values {', '.join(states)}) as tables (row_key, table_state)"
    engine.run(connection, engine.create_table(f"{_PREFIX}{gate}_tables", values))
    run = [f"date '{request.as_of_date.isoformat()}' as as_of_date"]
    run += [
        f"cast({value!r} as double precision) as {name}"
        for name, value in _numbers(gate, request.limits).items()
    ]
    engine.run(connection, engine.create_table("gate_run", f"select {', '.join(run)}"))
    if gate == "landing":
        return _prepare_raw_tables(request, connection, seen, folder)
    if not seen.missing:
        _prepare_marts(request, connection, seen, folder)
    return None


def _prepare_raw_tables(
    request: _Request, connection: Connection, seen: Seen, folder: Path
) -> Landed:
    """Views of the raw tables, and statistics of them."""
    engine = request.engine
    specs = _read_yaml(folder / "raw_columns.yml")
    readings = {
        table: read_raw_table(
            engine,
            table,
            specs[table],
            seen,
            as_of_date=request.as_of_date,
            naive_timezone=request.naive_timezone,
        )
        for table in specs
        if table in seen.columns
    }
    for table, reading in readings.items():
        query = view_query(engine, reading, request.as_of_date)
        engine.run(connection, engine.create_view(f"{_PREFIX}{table}", query))
    return look_at_tables(
        engine,
        connection,
        readings,
        specs,
        as_of_date=request.as_of_date,
        limits=request.limits["landing"],
        before=request.profile,
    )


def _prepare_marts(request: _Request, connection: Connection, seen: Seen, folder: Path) -> None:
    """Views of the marts, and the queries that rules judge."""
    engine = request.engine
    for table in seen.columns:
        query = f"select * from {seen.relation(table)}"
        engine.run(connection, engine.create_view(quoted(table), query))
    for table, columns in LATER_MARTS.items():
        if table in seen.there:
            query = f"select * from {seen.relation(table)}"
        else:
            empty = ", ".join(f"cast(null as {kind}) as {name}" for name, kind in columns.items())
            query = f"select {empty} where false"
            seen.unknown[table] = (
                "not known: this candidate was built without the mart, run `customer-health run`"
            )
        engine.run(connection, engine.create_view(quoted(table), query))
    # Each query is run once and kept, as the rules read it many times.
    for path in sorted((folder / "views").glob("*.sql")):
        query = path.read_text(encoding="utf-8")
        engine.run(connection, engine.create_table(f"{_PREFIX}{path.stem}", query))
    rows = engine.run(connection, f"select count(*) from {_PREFIX}source_rows").fetchall()
    if not rows[0][0]:
        seen.unknown.setdefault(
            "fct_health__source_rows", f"not known: the mart has no row of {request.as_of_date}"
        )
