"""What every fault test uses: the real command line on a home of its own, and what to expect.

`run` calls the command line in a process of its own, as a person or a scheduler does. `started`
lets a test go on meanwhile, signal it or kill it.
`assert_refused` and `assert_accepted` look at its exit code, its words and at the published copy.
Both also find the text `says` of the test's `fault` mark in the output: docs/reliability.md shows
that text, and so it cannot drift from what is really said.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from fault_marks import found_in
from forked import run_module

from customer_health import demo
from customer_health.dbt import PARSED_VARIABLE
from customer_health.publication import open_published, publications_in

PROJECT_DIR = Path(__file__).resolve().parents[2]
AS_OF = "2026-06-30"  # the last date of the demo data
DAY_BEFORE = "2026-06-29"
# Names of accounts that some reader might take for something else than text.
HOSTILE_NAMES = (
    "'); drop table customer_health.fct_health__account_scores; --",
    'Robert"; drop schema raw cascade; --',
    "{{ env_var('HOME') }} {% raw %}",
    "=cmd|' /C calc'!A0",
)
# How often test_kill_run.py and test_kill_publish.py kill, each; FAULT_KILLS changes it.
DEFAULT_KILLS = 15
DEMO_SIZE = ("--accounts", "40", "--days", "300", "--events", "15000")
# What a project folder consists of, for tests that change seeds, variables or the profile.
PROJECT_PARTS = (
    "dbt_project.yml",
    "profiles.yml",
    "macros",
    "models",
    "seeds",
    "snapshots",
    "tests/generic",
    "tests/singular",
)


@dataclass
class Done:
    """A command that ended: what it said, and what readers had before it began."""

    arguments: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    readers_had: dict[str, str]

    @property
    def output(self) -> str:
        """Everything that a person sees."""
        return self.stdout + self.stderr

    @property
    def errors(self) -> list[str]:
        """The lines on standard error that begin with `error:`."""
        return [line for line in self.stderr.splitlines() if line.startswith("error:")]


# -- homes and projects ------------------------------------------------------------------------
def copy_home(source: Path, target: Path) -> Path:
    """Copy a home folder, sharing blocks where the file system can."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
    # the views on the raw tables name their folder
    demo.create_landing(target)
    return target


def fresh_home(source: Path, target: Path) -> Path:
    """A home with the same raw tables, on which nothing was ever run."""
    target.mkdir()
    for name in ("raw", "demo.json"):
        part = source / name
        (shutil.copytree if part.is_dir() else shutil.copy2)(part, target / name)
    demo.create_landing(target)
    return target


def copy_project(target: Path, *, project: Path = PROJECT_DIR) -> Path:
    """Copy the dbt project, to change its seeds, variables or profile."""
    for part in PROJECT_PARTS:
        source = project / part
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / part)
        elif source.is_file():
            shutil.copy2(source, target / part)
    return target


def change_raw(home: Path, table: str, *statements: str) -> None:
    """Change a raw table by SQL statements that name it, as a broken export would be broken.

    Example: change_raw(home, "crm_accounts", "update crm_accounts set account_id = null").
    """
    folder = home / "raw" / table
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            f"create table {table} as select * from read_parquet('{folder}/*.parquet')"
        )
        for statement in statements:
            connection.execute(statement)
        shutil.rmtree(folder)
        folder.mkdir()
        connection.execute(f"copy {table} to '{folder}/part-0.parquet' (format parquet)")
    demo.create_landing(home)


def rename_statements() -> list[str]:
    """Statements that give some accounts hostile names."""
    statements = []
    for place, name in enumerate(HOSTILE_NAMES):
        quoted = name.replace("'", "''")
        statements.append(
            f"update crm_accounts set account_name = '{quoted}' where account_id = "
            f"(select distinct account_id from crm_accounts order by 1 limit 1 offset {place})"
        )
    return statements


def drop_raw(home: Path, table: str) -> None:
    """Remove a raw table."""
    shutil.rmtree(home / "raw" / table)
    demo.create_landing(home)


def raw_rows(home: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query on the raw tables (`raw.<table>`)."""
    with duckdb.connect(str(home / "landing.duckdb"), read_only=True) as connection:
        return connection.execute(sql, list(parameters)).fetchall()


# -- the command line --------------------------------------------------------------------------
def environment(
    home: Path, more: Mapping[str, str] | None = None, *, without: tuple[str, ...] = ()
) -> dict[str, str]:
    """The environment of a command: this one without our own variables, and with `more`."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if (name == PARSED_VARIABLE or not name.startswith(("CUSTOMER_HEALTH_", "DBT_", "PYTEST_")))
        and name not in without
    }
    return clean | {
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "log"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        **(more or {}),
    }


def command_line(home: Path, *arguments: str, project: Path | None = None) -> list[str]:
    """`customer-health --home HOME …` by this Python."""
    where = ("--project-dir", str(project)) if project is not None else ()
    return [sys.executable, "-m", "customer_health", *where, "--home", str(home), *arguments]


def run(
    home: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    project: Path | None = None,
    prefix: tuple[str, ...] = (),
) -> Done:
    """Run the command line to its end.

    Args:
        home: folder of the databases.
        arguments: the command and its options.
        env: environment variables on top of the usual ones.
        project: folder of the dbt project, if it is not this repository.
        prefix: a command before the command, such as `unshare`.
    """
    before = readers_have(home)
    command = command_line(home, *arguments, project=project)
    if prefix:
        ended = subprocess.run(
            [*prefix, *command],
            cwd=PROJECT_DIR,
            env=environment(home, env),
            capture_output=True,
            text=True,
            check=False,
        )
    else:
        _, _, module, *given = command
        ended = run_module(module, given, cwd=PROJECT_DIR, env=environment(home, env))
    return Done(arguments, ended.returncode, ended.stdout, ended.stderr, before)


@dataclass
class Started:
    """A command that runs in a session of its own; standard error goes to a file."""

    process: subprocess.Popen[str]
    log: Path

    def wait_until_told(self, text: str, seconds: float = 300) -> None:
        """Wait until the command has told something, such as `✓ landing gate`."""
        self._wait(lambda: text in self.told(), f"{text!r} was never told", seconds)

    def told(self) -> str:
        """What is on standard error so far."""
        return self.log.read_text()

    def descendants(self) -> list[int]:
        """Ids of the processes of the command's session that still run, itself included."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # the command name may hold spaces; state, parent, group and session follow it
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    found.append(int(stat.parent.name))
        return found

    def left_behind(self, seconds: float = 5.0) -> list[int]:
        """Ids of its processes that still run some time after it ended.

        Python's own tracker of semaphores, which dbt's locks start, ends when it sees that its
        parent is gone: on a busy machine a moment later.
        """
        give_up_at = time.monotonic() + seconds
        while (left := self.descendants()) and time.monotonic() < give_up_at:
            time.sleep(0.05)
        return left

    def kill(self) -> None:
        """`kill -9` of the command and of whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _wait(self, is_so: Callable[[], bool], what: str, seconds: float) -> None:
        give_up_at = time.monotonic() + seconds
        while not is_so():
            assert self.process.poll() is None, f"ended before {what}: {self.told()}"
            assert time.monotonic() < give_up_at, f"{what}: {self.told()}"
            time.sleep(0.05)


@contextlib.contextmanager
def started(home: Path, *arguments: str, project: Path | None = None) -> Iterator[Started]:
    """Start the command line and go on; whatever is left of it at the end is killed."""
    log = home / f"stderr-{time.monotonic_ns()}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command_line(home, *arguments, project=project),
            cwd=PROJECT_DIR,
            env=environment(home),
            stdout=subprocess.DEVNULL,
            stderr=file,
            text=True,
            start_new_session=True,
        )
    running = Started(process, log)
    try:
        yield running
    finally:
        running.kill()


def dbt_environment(home: Path, *, keeps_target: bool = False) -> dict[str, str]:
    """The environment of dbt by hand.

    Its artefacts go to `target` of the project, or with `keeps_target` to that of the home.
    """
    found = environment(home, {"CUSTOMER_HEALTH_HOME": str(home)})
    if not keeps_target:
        del found["DBT_TARGET_PATH"], found["DBT_LOG_PATH"]
    return found


def run_dbt(home: Path, *arguments: str, project: Path | None = None) -> Done:
    """Run dbt as a person does, on the databases of a home.

    In a copy of the project its artefacts go there; this repository is left alone.
    """
    before = readers_have(home)
    ended = run_module(
        "dbt.cli.main",
        arguments,
        cwd=project or PROJECT_DIR,
        env=dbt_environment(home, keeps_target=project is None),
    )
    return Done(arguments, ended.returncode, ended.stdout, ended.stderr, before)


# -- what readers have -------------------------------------------------------------------------
def readers_have(home: Path) -> dict[str, str]:
    """Hash of every file that readers may open: the published copy, its manifest, kept ones."""
    files = [home / "published.duckdb", home / "published.json", home / "published.duckdb.wal"]
    files += sorted((home / "publications").glob("*.duckdb"))
    return {
        str(path.relative_to(home)): _sha256(path) if path.is_file() else "missing"
        for path in files
    }


def published(home: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query on the published copy, opened as readers open it."""
    with open_published(home / "published.duckdb") as connection:
        return connection.execute(sql, list(parameters)).fetchall()


def differences(home: Path, other: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Rows that only one of two published copies has, at most three of each, by table.

    Ids and times of publications differ between any two publications and are left out; of the
    snapshots it is compared which stays an account had, in which order, and which is current.
    """
    found = {}
    with duckdb.connect() as connection:
        for name, folder in (("ours", home), ("theirs", other)):
            connection.execute(f"attach '{folder / 'published.duckdb'}' as {name} (read_only)")
        shapes = [_shape(connection, name) for name in ("ours", "theirs")]
        assert shapes[0].keys() == shapes[1].keys() and len(shapes[0]) > 10
        for table in shapes[0].keys() - set(_OF_ONE_PUBLICATION):
            selects = [
                f"select {columns} from {name}.{table}"
                for name, columns in (("ours", shapes[0][table]), ("theirs", shapes[1][table]))
            ]
            rows = [
                row
                for one, another in (selects, selects[::-1])
                for row in connection.execute(f"{one} except all {another} limit 3").fetchall()
            ]
            if rows:
                found[table] = rows
    return found


_OF_ONE_PUBLICATION = (
    "customer_health.fct_health__publications",
    "customer_health.fct_health__publication_checks",
    # what a run read: the second run of a day reads fewer days of events
    "customer_health.fct_health__source_rows",
)
_OF_ONE_RUN = (
    "publication_id",
    "first_seen_run",
    "dbt_scd_id",
    "dbt_updated_at",
    "dbt_valid_from",
    "dbt_valid_to",
)


def _shape(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, str]:
    """Tables of a published copy and the columns that do not depend on the run."""
    rows = connection.execute(
        """
        select schema_name || '.' || table_name, column_name
        from duckdb_columns()
        where database_name = ?
            and table_name in (select table_name from duckdb_tables() where database_name = ?)
        order by 1, column_index
        """,
        [database, database],
    ).fetchall()
    tables: dict[str, list[str]] = {}
    for table, column in rows:
        columns = tables.setdefault(table, [])
        if column not in _OF_ONE_RUN:
            columns.append(f'"{column}"')
        if column == "dbt_valid_to":
            columns.append("dbt_valid_to is null")
            columns.append("row_number() over (partition by account_id order by dbt_valid_from)")
    return {table: ", ".join(columns) for table, columns in tables.items()}


def candidate(home: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query on the candidate."""
    with duckdb.connect(str(home / "candidate.duckdb"), read_only=True) as connection:
        return connection.execute(sql, list(parameters)).fetchall()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def dashboard(home: Path) -> Iterator[None]:
    """While the block runs, a process reads the published copy; it must never see anything odd."""
    script = Path(__file__).with_name("dashboard.py")
    reader = subprocess.Popen(
        [sys.executable, str(script), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield
        output, _ = reader.communicate("")
    finally:
        reader.kill()
        reader.wait()
    seen = json.loads(output)
    print(f"dashboard: {seen['reads']} reads of {len(seen['publications'])} publications")
    assert seen["problems"] == []
    assert seen["reads"] > 0
    listed = published(home, "select publication_id from customer_health.fct_health__publications")
    assert {(publication,) for publication in seen["publications"]} <= set(listed)
    # time only goes forward
    assert len(set(seen["publications"])) == len(seen["publications"])


def assert_whole(home: Path, old: str) -> str:
    """The published copy is byte for byte `old` or a complete new publication; its hash.

    A new one is complete when it is byte for byte the kept copy of its own id, which was checked
    and synced to disk before it was put in place, and when all of it can be read.
    """
    path = home / "published.duckdb"
    now = _sha256(path)
    if now == old:
        return now
    newest = publications_in(path)[0].publication_id
    assert now == _sha256(home / "publications" / f"{newest}.duckdb")
    with open_published(path) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
        ).fetchall()
        assert len(tables) > 10
        for (table,) in tables:
            connection.execute(f"select count(*), max(columns(*)) from {table}").fetchall()
    return now


# -- what is expected --------------------------------------------------------------------------
def assert_refused(done: Done, home: Path, says: str | None = None, code: int = 1) -> None:
    """The command was refused in one clear line, and readers have byte for byte what they had.

    Args:
        done: the command that ended.
        home: its home.
        says: a text that the error must contain, besides the `says` of the test's mark.
        code: the exit code.
    """
    assert done.returncode == code, (done.returncode, done.output)
    assert "Traceback" not in done.output, done.output
    assert len(done.errors) == 1, done.output
    # the line and, below it, further problems of the same kind
    said = done.stderr[done.stderr.index("error:") :]
    found_in(said)
    if says is not None:
        assert says in said, said
    assert readers_have(home) == done.readers_had
    assert not (home / "run.lock").exists()


def assert_accepted(done: Done, says: str | None = None) -> None:
    """The command ended well; `says` is in what it told."""
    assert done.returncode == 0, done.output
    assert "Traceback" not in done.output, done.output
    found_in(done.output)
    if says is not None:
        assert says in done.output, done.output
