"""Leak tests 1 and 2: an old date is built again in a scratch folder, and compared.

One build answers both where all is equal: the raw tables with absurd rows from the date on, scored
as of that date, have to give the stored rows to the last digit. Where they do not, a second build
without the absurd rows tells a score that sees the future (1) from one that cannot be repeated (2).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from customer_health.errors import HealthError, UsageError
from customer_health.progress import Reporter
from customer_health.publication import in_schemas
from customer_health.settings import Settings
from customer_health.validation import poison
from customer_health.validation.figures import Figures
from customer_health.validation.leak_tests import LeakTest, skipped

STORED = "fct_health__account_scores"
METRICS = "fct_health__metric_scores"
COMPARED = ("health_score_exact", "coverage", "band")
SUNDAY = 6
# The default date lies so far back: far enough for outcomes after it, near enough to be of the
# policy and the sources of now.
DEFAULT_AGE_DAYS = 91
SHOWN = 5
PREFIX = "customer-health-validate-"


Keyed = dict[tuple[Any, ...], tuple[Any, ...]]


@dataclass
class Rows:
    """The rows of a date: scores by account, version and scorecard; metrics by those and metric.

    Metrics are read where scores differ from the stored ones: there are many of them. `set_aside`
    names raw tables of which no absurd row was taken for valid, so that they proved nothing.
    """

    scores: Keyed
    metrics: Keyed = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)


@dataclass
class Differences:
    """How two builds of a date differ.

    Attributes:
        compared: accounts of both.
        accounts: ids whose score, coverage or band differ, or that one of the two lacks.
        metrics: metric -> accounts whose value, state or score differ, the most first.
        seen: columns that differ.
    """

    compared: int
    accounts: list[str] = field(default_factory=list)
    metrics: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        """`12 of 388 accounts differ in health_score_exact (first A0001); most moved: logins`."""
        first = ", ".join(self.accounts[:SHOWN])
        columns = ", ".join(self.seen) or "being there at all"
        moved = ", ".join(list(self.metrics)[:SHOWN])
        return (
            f"{len(self.accounts):,} of {self.compared:,} accounts differ in {columns} "
            f"(first {first})" + (f"; most moved: {moved}" if moved else "")
        )


def look_at_rebuild(
    settings: Settings,
    connection: Any,
    figures: Figures,
    day: date | None,
    reporter: Reporter,
) -> list[LeakTest]:
    """Leak tests 1 and 2.

    Args:
        settings: project, home (only read), target.
        connection: of `open_marts`, with the stored rows.
        figures: of the version and scorecard, for their newest date.
        day: a Sunday whose rows are stored; by default one about three months back.
        reporter: told what is built.

    Raises:
        UsageError: for a day without stored rows.
        HealthError: when the build fails.
    """
    why = _cannot_rebuild(settings) or _other_policy(settings, figures)
    if why is not None:
        return [skipped(1, why), skipped(2, why)]
    chosen = _choose_day(connection, figures.as_of_date, day)
    if chosen is None:
        why = "no Sunday with stored scores lies at least four weeks back"
        return [skipped(1, why), skipped(2, why)]
    stored = Rows(_scores(connection, chosen), {})
    no_poison = _cannot_poison(settings)
    if no_poison is None:
        with reporter.step(f"leak tests 1 and 2: {chosen} built again, with absurd later rows"):
            poisoned, rows = _build(settings, stored, chosen, True, reporter)
        if poisoned.scores == stored.scores:
            told = f"{len(stored.scores):,} accounts of {chosen}"
            return [
                LeakTest(
                    1,
                    "passed",
                    f"{rows:,} absurd rows from {chosen} on change nothing of {told}"
                    + _not_proved(poisoned),
                    details=_added(chosen, rows, poisoned),
                ),
                _judge_travel(chosen, stored, stored),
            ]
    with reporter.step(f"leak test 2: {chosen} built again from today's raw tables"):
        clean, _ = _build(settings, stored, chosen, False, reporter, always=no_poison is None)
    if stored.scores != clean.scores:
        stored.metrics = _metrics(connection, chosen)
    travel = _judge_travel(chosen, stored, clean)
    if no_poison is not None:
        return [skipped(1, no_poison), travel]
    return [_judge_poison(chosen, rows, poisoned, clean), travel]


def _judge_poison(day: date, rows: int, poisoned: Rows, clean: Rows) -> LeakTest:
    """Whether the absurd rows moved anything: both builds beside each other."""
    found = differences(clean, poisoned)
    details = {**_added(day, rows, poisoned), "metrics": found.metrics}
    if not found.accounts:
        return LeakTest(
            1,
            "passed",
            f"{rows:,} absurd rows from {day} on change nothing of {found.compared:,} accounts of "
            f"that date{_not_proved(poisoned)}",
            details=details,
        )
    return LeakTest(
        1,
        "failed",
        f"{rows:,} absurd rows from {day} on change scores of {day}: {found.in_words()}",
        tuple(list(found.metrics)[:SHOWN]),
        {**details, "accounts": found.accounts[:100]},
    )


def _added(day: date, rows: int, poisoned: Rows) -> dict[str, Any]:
    """What the poison was."""
    return {"date": day.isoformat(), "added_rows": rows, "set_aside": poisoned.set_aside}


def _not_proved(poisoned: Rows) -> str:
    """Which tables prove nothing, since their absurd rows were set aside as bad."""
    if not poisoned.set_aside:
        return ""
    return f" (those of {', '.join(poisoned.set_aside)} were set aside as bad and prove nothing)"


def _judge_travel(day: date, stored: Rows, clean: Rows) -> LeakTest:
    """Whether building again gives what is stored."""
    found = differences(stored, clean)
    if not found.accounts:
        return LeakTest(
            2,
            "passed",
            f"{found.compared:,} accounts of {day} have the stored score, coverage and band to the "
            "last digit",
            details={"date": day.isoformat(), "accounts": found.compared},
        )
    return LeakTest(
        2,
        "failed",
        f"built again for {day} from today's raw tables, {found.in_words()}: rows of before were "
        "corrected or came late since (then --backfill), or a metric reads what is only known now",
        tuple(list(found.metrics)[:SHOWN]),
        {
            "date": day.isoformat(),
            "accounts": found.accounts[:100],
            "account_count": len(found.accounts),
            "metrics": found.metrics,
        },
    )


# -- may it, and when --------------------------------------------------------------------------
def _cannot_rebuild(settings: Settings) -> str | None:
    """Why the date cannot be built again beside the home folder; None when it can."""
    from customer_health.targets import _output, rendered

    output = _output(settings, os.environ)
    if output is None or output.get("type") != "duckdb":
        return "the dbt target is not DuckDB, whose landing database can be copied"
    scratch = "/scratch-of-validate"
    environment = {**os.environ, "CUSTOMER_HEALTH_HOME": scratch}
    attached = [each for each in output.get("attach") or [] if isinstance(each, dict)]
    paths = {each.get("alias"): str(rendered(each.get("path"), environment)) for each in attached}
    for path in (str(rendered(output.get("path"), environment)), *paths.values()):
        if not path.startswith(f"{scratch}/"):
            return (
                "profiles.yml names a database that is not below CUSTOMER_HEALTH_HOME: a build "
                "beside the home folder would write to it"
            )
    raw_database = settings.project_vars.get("raw_database")
    if raw_database and paths.get(raw_database) != f"{scratch}/{settings.landing.name}":
        return (
            f"the raw tables are in a database of their own (customer_health__raw_database: "
            f"{raw_database})"
        )
    if not settings.landing.exists():
        return f"there are no raw tables ({settings.landing.name})"
    return None


def _other_policy(settings: Settings, figures: Figures) -> str | None:
    """Why scores built now would be of another policy than the stored ones; None when not."""
    from customer_health import policy

    noted = settings.manifest if figures.source == "published" else settings.candidate_state
    try:
        stored = json.loads(noted.read_text(encoding="utf-8"))["policy_hashes"]
    except (OSError, ValueError, KeyError):
        return None
    hashes = policy.policy_hashes(policy.find_seed_files(settings.project_dir))
    changed = policy.changed_versions(hashes, stored)
    if not changed:
        return None
    return (
        f"the seeds of version {changed[0]} were changed since these scores were made, so that "
        "building again gives others"
    )


def _cannot_poison(settings: Settings) -> str | None:
    """Why no absurd rows can be made; None when they can."""
    own = sorted(settings.own_staging())
    if not own:
        return None
    return (
        f"this project stages {len(own)} raw tables by models of its own (first {own[0]}), so that "
        "nobody knows here what an absurd row of them looks like"
    )


def _choose_day(connection: Any, newest: date, day: date | None) -> date | None:
    """The date to build again: a Sunday whose rows are stored.

    Raises:
        UsageError: when the asked one is none.
    """
    stored = [
        row[0]
        for row in connection.execute(
            in_schemas(
                connection,
                f"""
                select as_of_date
                from {{marts}}.{STORED}
                group by as_of_date
                having count(health_score_exact) > 0
                order by as_of_date
                """,
            )
        ).fetchall()
        if row[0].weekday() == SUNDAY
    ]
    if day is not None:
        if day not in stored:
            near = min(stored, key=lambda each: abs(each - day), default=None)
            nearest = f"; the nearest is {near}" if near else ""
            raise UsageError(f"--rebuild-date: no scores of a Sunday {day} are stored{nearest}")
        return day
    old = [each for each in stored if each <= newest - timedelta(days=28)]
    wanted = newest - timedelta(days=DEFAULT_AGE_DAYS)
    return min(old, key=lambda each: abs(each - wanted), default=None)


# -- building ----------------------------------------------------------------------------------
@contextmanager
def _scratch(settings: Settings) -> Iterator[Settings]:
    """A folder for one build, removed whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    try:
        beside = replace(settings, home=folder)
        beside.prepare()
        parsed = settings.dbt_target / "partial_parse.msgpack"
        if parsed.is_file():
            beside.dbt_target.mkdir()
            shutil.copyfile(parsed, beside.dbt_target / parsed.name)
        yield beside
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _build(
    settings: Settings,
    stored: Rows,
    day: date,
    with_poison: bool,
    reporter: Reporter,
    *,
    always: bool = False,
) -> tuple[Rows, int]:
    """Build a date in a scratch folder.

    Args:
        settings: project and home.
        stored: what is stored of the date.
        day: the date.
        with_poison: whether absurd rows are added.
        reporter: told how far it is.
        always: whether the metrics are read even where all is as stored.

    Returns:
        The rows of the date, and the number of absurd rows.
    """
    from customer_health import dbt

    with _scratch(settings) as beside:
        rows = _land(settings, beside, day) if with_poison else _share(settings, beside)
        try:
            outcome = dbt.run_dbt(
                beside,
                "build",
                variables={"as_of_date": day.isoformat()},
                run_dir=beside.runs_dir / "rebuild",
                reporter=reporter,
                arguments=[
                    *("--select", f"+{STORED}", f"+{METRICS}"),
                    *("--exclude-resource-type", "test", "unit_test", "snapshot"),
                ],
                name=f"build of {day}",
            )
            outcome.require_success(beside.runs_dir / "rebuild" / "dbt.log")
        except HealthError as error:
            message = error.message.split(" (log: ")[0]
            raise HealthError(
                f"leak tests 1 and 2: {message}; --no-rebuild leaves them out", error.exit_code
            ) from error
        with duckdb.connect(str(beside.candidate), read_only=True) as connection:
            built = Rows(_scores(connection, day))
            if always or built.scores != stored.scores:
                built.metrics = _metrics(connection, day)
        if with_poison:
            built.set_aside = _set_aside(beside)
        is_same = built.scores == stored.scores
        reporter.detail(f"{len(built.scores):,} accounts, {'all' if is_same else 'not all'} equal")
        return built, rows


def _set_aside(beside: Settings) -> list[str]:
    """Raw tables of which the build took no absurd row for valid.

    Only told where the databases have the names of our own profile; models that nothing read are
    not built and not told.
    """
    found = []
    files = {"build": beside.build, "landing": beside.landing, "marts": beside.candidate}
    with duckdb.connect() as connection:
        for name, path in files.items():
            connection.execute(f"attach '{path}' as {name} (read_only)")
        connection.execute("use build")
        relations = {
            table: f'"{schema}"."{relation}"'
            for schema, relation, table in connection.execute(
                """
                select schema_name, name, replace(name, 'int_health__valid_', '')
                from (
                    select schema_name, view_name as name from duckdb_views()
                    where database_name = 'build'
                    union all
                    select schema_name, table_name from duckdb_tables()
                    where database_name = 'build'
                )
                where name like 'int_health__valid_%'
                """
            ).fetchall()
        }
        for table, column in poison.marked_columns().items():
            if table not in relations or not beside.using().get(table):
                continue
            try:
                taken = connection.execute(
                    f"select 1 from {relations[table]} "
                    f"where starts_with(cast({column} as varchar), '{poison.MARK}') limit 1"
                ).fetchall()
            except duckdb.Error:
                continue
            if not taken:
                found.append(table)
    return found


def _share(settings: Settings, beside: Settings) -> int:
    """Let the scratch folder read the landing database as it is."""
    for path in (settings.landing, settings.landing.with_name(f"{settings.landing.name}.wal")):
        if path.exists():
            (beside.home / path.name).symlink_to(path)
    return 0


def _land(settings: Settings, beside: Settings, day: date) -> int:
    """Copy the landing database into the scratch folder and add absurd rows.

    Returns:
        Number of rows added.
    """
    schema = str(settings.project_vars.get("raw_schema") or "raw")
    currency = str(settings.project_vars.get("reporting_currency") or "USD")
    config = {
        "memory_limit": os.environ.get("CUSTOMER_HEALTH_MEMORY_LIMIT") or "8GB",
        "threads": os.environ.get("CUSTOMER_HEALTH_THREADS") or "2",
        "temp_directory": str(beside.home / "tmp"),
        "preserve_insertion_order": "false",
    }
    with duckdb.connect(str(beside.landing), config=config) as connection:  # type: ignore[arg-type]
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"attach '{settings.landing}' as source_landing (read_only)")
        # views read their files from where dbt would: the folder of the project
        with _working_folder(settings.project_dir):
            for of_schema, name in _raw_tables(connection):
                connection.execute(f'create schema if not exists "{of_schema}"')
                connection.execute(
                    f'create table "{of_schema}"."{name}" as '
                    f'select * from source_landing."{of_schema}"."{name}"'
                )
        connection.execute("detach source_landing")
        connection.execute(f'set schema = "{schema}"')
        return poison.add(
            connection,
            _declared(connection, settings, schema),
            day,
            currency=currency,
            grace_days=int(settings.project_vars.get("renewal_grace_days", 14)),
        )


def _raw_tables(connection: Any) -> list[tuple[str, str]]:
    """Schema and name of every table and view of the landing database."""
    return list(
        connection.execute(
            """
            select schema_name, table_name
            from duckdb_tables()
            where database_name = 'source_landing'
            union all
            select schema_name, view_name
            from duckdb_views()
            where database_name = 'source_landing' and not internal
            order by 1, 2
            """
        ).fetchall()
    )


def _declared(connection: Any, settings: Settings, schema: str) -> dict[str, dict[str, str]]:
    """Raw tables that are declared, with their columns and types."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "select table_name, column_name, data_type from information_schema.columns "
        "where table_schema = ? order by table_name, ordinal_position",
        [schema],
    ).fetchall():
        if settings.using().get(table):
            found.setdefault(table, {})[column] = kind
    return found


@contextmanager
def _working_folder(folder: Path) -> Iterator[None]:
    """Be in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


# -- comparing ---------------------------------------------------------------------------------
def differences(before: Rows, after: Rows) -> Differences:
    """What differs, to the last digit."""
    keys = sorted(before.scores.keys() | after.scores.keys())
    found = Differences(compared=len(keys))
    seen = set()
    for key in keys:
        old, new = before.scores.get(key), after.scores.get(key)
        if old == new:
            continue
        found.accounts.append(key[0])
        if old is not None and new is not None:
            seen |= {name for name, a, b in zip(COMPARED, old, new, strict=True) if a != b}
    found.seen = [name for name in COMPARED if name in seen]
    if found.accounts:
        found.metrics = _moved(before.metrics, after.metrics)
    return found


def _moved(before: Keyed, after: Keyed) -> dict[str, int]:
    """Metric -> number of accounts where it differs, the most first."""
    counts: dict[str, int] = {}
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key):
            counts[key[-1]] = counts.get(key[-1], 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _scores(connection: Any, day: date) -> Keyed:
    """Scores of a date."""
    return _keyed(
        connection.execute(
            in_schemas(
                connection,
                f"select account_id, scoring_version, scorecard_key, {', '.join(COMPARED)} "
                f"from {{marts}}.{STORED} where as_of_date = ?",
            ),
            [day],
        ).fetchall(),
        3,
    )


def _metrics(connection: Any, day: date) -> Keyed:
    """Metrics of a date."""
    return _keyed(
        connection.execute(
            in_schemas(
                connection,
                "select account_id, scoring_version, scorecard_key, metric_key, metric_value, "
                f"metric_score, value_state from {{marts}}.{METRICS} where as_of_date = ?",
            ),
            [day],
        ).fetchall(),
        4,
    )


def _keyed(rows: list[tuple[Any, ...]], width: int) -> Keyed:
    """Rows by their first columns."""
    return {row[:width]: row[width:] for row in rows}
