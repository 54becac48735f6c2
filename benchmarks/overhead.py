"""What a run costs beside the work of the database.

    python benchmarks/overhead.py                     # makes demo data and publishes them first
    python benchmarks/overhead.py --home FOLDER       # a folder with published demo data

Runs `customer-health run` once more on the same day in a process of its own, as cron does, and
notes when a statement is running in DuckDB. Prints machine, rows, date and, per step, seconds on
the clock, seconds in which at least one statement of dbt ran, the rest, and seconds of the
processor; then the dbt nodes that took longest. Imports and the start of Python are a step of their
own. Gates are judged in a process beside, while the project is read: what they ask the database
counts as rest. Exits 1 where the rest of the whole run is more than 20 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.environments import local
from rich.console import Console

from customer_health import gate_process, pipeline, publication
from customer_health.progress import Reporter
from customer_health.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
MOST_REST_SECONDS = 20.0
SLOWEST = 15


def main() -> int:
    """Measure and print; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--events", type=int, default=1_000_000, help="product events")
    parser.add_argument("--home", type=Path, help="a folder with published demo data")
    parser.add_argument("--as-of", help="date to score, as YYYY-MM-DD; by default the same again")
    parser.add_argument("--watched", type=Path, help=argparse.SUPPRESS)  # the process that runs
    options = parser.parse_args()
    if options.watched is not None:
        return _watched_run(options.watched, options.as_of)
    if options.home is not None:
        return measure(options.home.resolve(), options)
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        size = ("--accounts", str(options.accounts), "--events", str(options.events))
        demo = [sys.executable, "-m", "customer_health", "--home", folder, "demo", *size]
        subprocess.run(demo, check=True, cwd=PROJECT, stdout=subprocess.DEVNULL)
        return measure(Path(folder), options)


def measure(home: Path, options: argparse.Namespace) -> int:
    """Run once more in `home` and print the table."""
    command = [sys.executable, __file__, "--watched", str(home)]
    if options.as_of:
        command += ["--as-of", options.as_of]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return 2
    seen = json.loads(done.stdout.splitlines()[-1])
    steps = seen["steps"]
    told = [sum(step[place] for step in steps.values()) for place in range(3)]
    steps["imports, start, end"] = [
        seconds - told[0],
        seen["database"] - told[1],
        seen["cpu"] - told[2],
    ]
    print(f"machine: {machine()}")
    print(f"date:    {datetime.now(UTC):%Y-%m-%d}, load before {seen['load']:.1f}")
    print(
        f"rows:    {seen['rows']:,} raw, {seen['nodes']} dbt nodes, {seen['tests']} of them tests"
    )
    print(f"\n{'step':<24}{'seconds':>9}{'database':>10}{'rest':>8}{'cpu':>8}")
    for name, (wall, database, cpu) in steps.items():
        print(f"{name:<24}{wall:>9.1f}{database:>10.1f}{wall - database:>8.1f}{cpu:>8.1f}")
    rest = seconds - seen["database"]
    line = f"{'whole run':<24}{seconds:>9.1f}{seen['database']:>10.1f}{rest:>8.1f}"
    print(f"{line}{seen['cpu']:>8.1f}")
    print(f"\nslowest of {seen['nodes']} dbt nodes, in seconds of their thread:")
    for name, taken in seen["slowest"]:
        print(f"{taken:>8.2f}  {name}")
    print(f"\ngoal: rest at most {MOST_REST_SECONDS:.0f} s, it is {rest:.1f} s")
    return 0 if rest <= MOST_REST_SECONDS else 1


# -- in the process that runs ------------------------------------------------------------------
@dataclass
class Busy:
    """Seconds in which at least one thread was inside the database."""

    seconds: float = 0.0
    inside: int = 0
    since: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def statement(self) -> Iterator[None]:
        """Count the time of one statement, once for all threads."""
        with self.lock:
            if self.inside == 0:
                self.since = time.perf_counter()
            self.inside += 1
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if self.inside == 0:
                    self.seconds += time.perf_counter() - self.since


def _watched_run(home: Path, as_of: str | None) -> int:
    """`customer-health run` under watch; prints what was seen as JSON."""
    load = os.getloadavg()[0]
    busy = Busy()
    _watch_dbt(busy)
    gate_process.allow()
    steps: dict[str, list[float]] = {}

    class Watching(Reporter):
        @contextmanager
        def step(self, title: str) -> Iterator[None]:
            before = time.perf_counter(), busy.seconds, time.process_time()
            with super().step(title):
                yield
            after = time.perf_counter(), busy.seconds, time.process_time()
            steps[title] = [now - then for now, then in zip(after, before, strict=True)]

    settings = Settings.resolve(PROJECT, home)
    reporter = Watching(Console(stderr=True), quiet=True)
    with pipeline.locked_run(settings, "run", reporter) as run:
        pipeline.run_all(settings, pipeline.RunOptions(as_of=as_of), run, reporter)
    last = publication.last_publication(settings)
    assert last is not None
    built = json.loads((run.run_dir / "build_results.json").read_text(encoding="utf-8"))["results"]
    slowest = sorted(((each["execution_time"], each["unique_id"]) for each in built), reverse=True)
    print()
    print(
        json.dumps(
            {
                "steps": steps,
                "database": busy.seconds,
                "cpu": time.process_time(),
                "load": load,
                "rows": sum(n for name, n in last.row_counts.items() if name != "scored_accounts"),
                "nodes": len(built),
                "tests": sum(each["unique_id"].startswith("test.") for each in built),
                "slowest": [(name.split(".")[2], taken) for taken, name in slowest[:SLOWEST]],
            }
        )
    )
    return 0


def _watch_dbt(busy: Busy) -> None:
    """Note the statements of dbt's adapter."""
    wrapper: Any = local.DuckDBCursorWrapper
    wrapper.execute = _watched(wrapper.execute, busy)


def _watched(method: Callable[..., Any], busy: Busy) -> Callable[..., Any]:
    def watched(*arguments: Any, **named: Any) -> Any:
        with busy.statement():
            return method(*arguments, **named)

    return watched


def machine() -> str:
    """Processor, cores and memory in one line."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
