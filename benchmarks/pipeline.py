"""What a run costs at size, beside the bare limit of the machine.

    make bench                      # 1 and 10 million events
    make bench SIZES="1 10 50 100"  # all sizes of docs/performance.md; 100M want 15 GB of disk
    make bench SIZES=10 EVENTS_PER_DAY=1   # the worst case: every event on a user-day of its own

For each size: makes the raw data of benchmarks/events.py, measures the bare limit (DuckDB reads the
Parquet of the events once and groups it to account, user, event and day), runs the whole
`customer-health run` over 365 days of weekly history, each in a process of its own as a person
starts it, then adds the files of one more day and runs again. Prints machine, date, rows, seconds
per step and per model, peak memory, and what each goal asks. Exits 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
from events import (
    ACCOUNTS,
    DAYS,
    END_DATE,
    EVENTS_PER_DAY,
    USERS,
    Shape,
    add_next_day,
    make_home,
)

PROJECT = Path(__file__).resolve().parent.parent
PROJECT_PARTS = (
    "dbt_project.yml",
    "profiles.yml",
    "models",
    "macros",
    "seeds",
    "snapshots",
    "tests",
    "expectations",
)
MEMORY_LIMIT = os.environ.get("CUSTOMER_HEALTH_MEMORY_LIMIT", "5GB")
HISTORY_FROM = END_DATE - timedelta(days=DAYS)
DAILY_FROM = END_DATE - timedelta(days=3)  # what a daily deployment rebuilds: the lookback

FULL_SIZE, FULL_RATIO, FULL_SECONDS = 50, 3.0, 20.0
DAY_SECONDS = 25.0
DAY_GROWTH, SMALL_SIZE, LARGE_SIZE = 1.15, 10, 100
MOST_GIGABYTES = 8.0


@dataclass
class Measured:
    """One `customer-health run`: seconds in all, per step and per node, and its peak memory."""

    seconds: float
    cpu_seconds: float
    peak_gigabytes: float
    steps: dict[str, float]
    nodes: dict[str, float] = field(repr=False)


@dataclass
class SizeResult:
    """What was measured of one size. Sizes in millions of events, seconds of wall time."""

    size: float
    events_per_day: int
    events: int
    next_day_events: int
    generation_seconds: float
    bare_seconds: float
    bare_rows: int
    full: Measured
    next_day: Measured


def main() -> int:
    """Measure and print; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1 10", help="millions of events, such as '1 10 50'")
    parser.add_argument("--events-per-day", type=int, default=EVENTS_PER_DAY)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS, help="with 30 users each")
    parser.add_argument("--folder", type=Path, help="where the data go, and stay; default: away")
    parser.add_argument("--models", type=int, default=15, help="slowest models to print")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    sizes = [float(size) for size in options.sizes.replace(",", " ").split()]
    print(f"machine: {machine()}", flush=True)
    print(
        f"date: {datetime.now(UTC):%Y-%m-%d}, DuckDB {duckdb.__version__}, "
        f"memory_limit {MEMORY_LIMIT}, {options.accounts:,} accounts, "
        f"{users_of(options.accounts):,} users, {DAYS} days"
    )
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as scratch:
        project = project_copy(Path(scratch) / "project")
        for size in sizes:
            home = (options.folder or Path(scratch)) / f"{size:g}m-{options.events_per_day}"
            shape = Shape(
                int(size * 1_000_000),
                accounts=options.accounts,
                users=users_of(options.accounts),
                events_per_day=options.events_per_day,
            )
            result = measure(project, home, size, shape)
            print_size(result, options.models)
            results.append(result)
            if options.folder is None:
                shutil.rmtree(home)
    print_table(results)
    if options.output is not None:
        facts = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
        content = {**facts, "sizes": [asdict(result) for result in results]}
        options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    goals = judge(results)
    for words, is_met in goals:
        print(f"{'met   ' if is_met else 'MISSED'} {words}")
    return 0 if all(is_met for _, is_met in goals) else 1


def project_copy(folder: Path) -> Path:
    """Copy the dbt project, with the history of the benchmark in its variables."""
    folder.mkdir(parents=True)
    for name in PROJECT_PARTS:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, folder / name)
        else:
            shutil.copy(PROJECT / name, folder / name)
    file = folder / "dbt_project.yml"
    text = file.read_text(encoding="utf-8")
    for name, day in (("history_from", HISTORY_FROM), ("daily_from", DAILY_FROM)):
        text, count = re.subn(rf'(customer_health__{name}: )"[^"]*"', rf'\g<1>"{day}"', text)
        if count != 1:
            raise ValueError(f"dbt_project.yml: no variable customer_health__{name}")
    file.write_text(text, encoding="utf-8")
    return folder


def users_of(accounts: int) -> int:
    """Users of so many accounts: the shape of the default ones."""
    return accounts * USERS // ACCOUNTS


def measure(project: Path, home: Path, size: float, shape: Shape) -> SizeResult:
    """Make the data of one size, then measure the bare limit, a full build and one more day."""
    shutil.rmtree(home, ignore_errors=True)
    made = make_home(home, shape)
    bare_rows, bare_seconds = bare_limit(home)
    full = run(project, home, END_DATE)
    add_next_day(home)
    next_day = run(project, home, END_DATE + timedelta(days=1))
    return SizeResult(
        size=size,
        events_per_day=shape.events_per_day,
        events=made.events,
        next_day_events=made.next_day_events,
        generation_seconds=made.seconds,
        bare_seconds=bare_seconds,
        bare_rows=bare_rows,
        full=full,
        next_day=next_day,
    )


def bare_limit(home: Path) -> tuple[int, float]:
    """Rows and seconds of one scan-and-group of the events with the settings of the profile."""
    files = home / "raw" / "product_events" / "*.parquet"
    with duckdb.connect(str(home / "bare.duckdb")) as connection:
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("set threads = 2")
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"set temp_directory = '{home}/tmp'")
        started = time.perf_counter()
        connection.execute(
            f"""
            create table bare as
            select
                account_id,
                user_id,
                event_name,
                cast(occurred_at as date) as usage_date,
                count(*) as event_count,
                sum(duration_seconds) as duration_seconds
            from read_parquet('{files}')
            group by all
            """
        )
        seconds = time.perf_counter() - started
        rows = connection.execute("select count(*) from bare").fetchone()
        assert rows is not None
    (home / "bare.duckdb").unlink()
    return int(rows[0]), seconds


def run(project: Path, home: Path, as_of: date) -> Measured:
    """Run the whole way in a process of its own and read what it left behind.

    Raises:
        RuntimeError: when the run refused or failed, with the end of what it said.
    """
    command = [
        *(sys.executable, "-m", "customer_health"),
        *(f"--project-dir={project}", f"--home={home}", "run", f"--as-of={as_of}"),
    ]
    environment = {**os.environ, "CUSTOMER_HEALTH_MEMORY_LIMIT": MEMORY_LIMIT}
    log = home / f"run-{as_of}.log"
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=project
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise RuntimeError(f"the run failed:\n{log.read_text(encoding='utf-8')[-3000:]}")
    folder = max((home / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    steps = json.loads((folder / "result.json").read_text(encoding="utf-8"))["steps"]
    return Measured(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_gigabytes=usage.ru_maxrss / 1024**2,
        steps={**steps, "start and end": seconds - sum(steps.values())},
        nodes=node_seconds(folder / "build_results.json"),
    )


def node_seconds(file: Path) -> dict[str, float]:
    """Seconds of execution per node of a dbt build; all tests together as one."""
    seconds: dict[str, float] = {}
    for result in json.loads(file.read_text(encoding="utf-8"))["results"]:
        kind, _, name = result["unique_id"].partition(".")
        key = name.split(".")[1] if kind == "model" else f"all nodes of type {kind}"
        seconds[key] = seconds.get(key, 0.0) + float(result["execution_time"])
    return seconds


def machine() -> str:
    """Processor, cores and memory."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"


def print_size(result: SizeResult, models: int) -> None:
    """Print everything of one size."""
    print(f"\n{result.size:g}M events, {result.events_per_day} per user and active day")
    print(
        f"  rows: {result.events:,} events, then {result.next_day_events:,} more; "
        f"made in {result.generation_seconds:.1f} s"
    )
    print(f"  bare limit: {result.bare_seconds:.1f} s to {result.bare_rows:,} rows")
    for name, measured in (("full build", result.full), ("one more day", result.next_day)):
        print(
            f"  {name}: {measured.seconds:.1f} s ({measured.cpu_seconds:.1f} s of processor), "
            f"{measured.peak_gigabytes:.1f} GB"
        )
        steps = (f"{step} {seconds:.1f}" for step, seconds in measured.steps.items())
        print(f"    steps: {', '.join(steps)}")
        slowest = sorted(measured.nodes.items(), key=lambda item: -item[1])[:models]
        for node, seconds in slowest:
            print(f"    {seconds:8.2f} s  {node}")
    sys.stdout.flush()


def print_table(results: list[SizeResult]) -> None:
    """Print one line per size, as in docs/performance.md."""
    print(
        "\n| events | bare limit | full build | times the bare limit | one more day | peak memory |"
    )
    print("|---|---|---|---|---|---|")
    for result in results:
        peak = max(result.full.peak_gigabytes, result.next_day.peak_gigabytes)
        print(
            f"| {result.events:,} | {result.bare_seconds:.1f} s | {result.full.seconds:.1f} s "
            f"| {result.full.seconds / result.bare_seconds:.1f} "
            f"| {result.next_day.seconds:.1f} s | {peak:.1f} GB |"
        )
    print()


def judge(results: list[SizeResult]) -> list[tuple[str, bool]]:
    """Goals that these sizes can tell of, in words, and whether each is met."""
    by_size = {result.size: result for result in results}
    goals = []
    for result in results:
        words = f"{result.size:g}M: one more day {result.next_day.seconds:.1f} s"
        is_met = result.next_day.seconds <= DAY_SECONDS
        goals.append((f"{words} (goal: {DAY_SECONDS:.0f} s)", is_met))
        peak = max(result.full.peak_gigabytes, result.next_day.peak_gigabytes)
        words = f"{result.size:g}M: peak memory {peak:.1f} GB (goal: {MOST_GIGABYTES:.0f} GB)"
        goals.append((words, peak <= MOST_GIGABYTES))
        if result.size >= FULL_SIZE:
            limit = FULL_RATIO * result.bare_seconds + FULL_SECONDS
            words = f"{result.size:g}M: full build {result.full.seconds:.1f} s"
            goals.append(
                (
                    f"{words} (goal: {FULL_RATIO:g} × bare limit + {FULL_SECONDS:.0f} s = "
                    f"{limit:.1f} s)",
                    result.full.seconds <= limit,
                )
            )
    if SMALL_SIZE in by_size and LARGE_SIZE in by_size:
        growth = by_size[LARGE_SIZE].next_day.seconds / by_size[SMALL_SIZE].next_day.seconds
        words = f"one more day after {LARGE_SIZE}M events takes {growth:.2f} × that after"
        goals.append((f"{words} {SMALL_SIZE}M (goal: {DAY_GROWTH:g})", growth <= DAY_GROWTH))
    return goals


if __name__ == "__main__":
    sys.exit(main())
