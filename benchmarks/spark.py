"""The same run on a local Spark cluster with one and two workers, beside DuckDB.

    .venv-engines/bin/python benchmarks/spark.py --sizes "1 10"
    .venv-engines/bin/python benchmarks/spark.py --sizes 50 --minutes 15

For each size: makes the raw data of benchmarks/events.py, runs `customer-health run` on DuckDB,
then for each number of workers starts a cluster (tests/engines/spark_cluster.py: a master, workers
of one core each, a Thrift server), loads the raw tables into Iceberg (events partitioned by month),
measures the bare limit there (the same scan and group as in benchmarks/pipeline.py), and runs the
same command on it. Prints machine, date, rows, seconds per step and the slowest models. A run that
takes longer than --minutes is ended, and the table says so.

All processes share the cores of one machine: with two workers on two cores this shows that the
work is spread, and what the coordination costs, not what a cluster of machines would reach.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from events import END_DATE, Shape, make_home
from pipeline import Measured, bare_limit, machine, project_copy, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "engines"))

from spark_cluster import LARGE, Cluster, running_cluster

from customer_health.demo.schema import TABLES
from customer_health.spark_server import Session, SparkServer

WORKER_MEMORY = "2g"
DRIVER_MEMORY = "3g"
_PARTITIONED = {"product_events": "partitioned by (months(occurred_at))"}


@dataclass
class Outcome:
    """What was measured of one size on one engine; seconds, and what went wrong."""

    size: float
    engine: str
    events: int
    load_seconds: float = 0.0
    bare_seconds: float = 0.0
    run: Measured | None = None
    problem: str = ""
    slowest: list[tuple[str, float]] = field(default_factory=list)


def main() -> int:
    """Measure what was asked for and print it; 1 where a run was not finished."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1 10", help="millions of events, such as '10 50'")
    parser.add_argument("--workers", default="1 2", help="numbers of workers, such as '1 2'")
    parser.add_argument("--accounts", type=int, default=Shape(1).accounts)
    parser.add_argument("--users", type=int, default=Shape(1).users)
    parser.add_argument("--minutes", type=float, default=15, help="a run on Spark is ended then")
    parser.add_argument("--folder", type=Path, help="where the data go, and stay; default: away")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="spark-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; {datetime.now(UTC):%Y-%m-%d}; Spark 3.5.9, Iceberg 1.10.2")
    outcomes = []
    try:
        project = project_copy(folder / "project")
        for size in map(float, options.sizes.split()):
            home = folder / f"{size:g}m"
            shape = Shape(int(size * 1e6), accounts=options.accounts, users=options.users)
            made = make_home(home, shape)
            outcomes.append(on_duckdb(project, home, size, made.events))
            print_outcome(outcomes[-1])
            for workers in map(int, options.workers.split()):
                outcomes.append(
                    on_spark(project, home, size, made.events, workers, options.minutes)
                )
                print_outcome(outcomes[-1])
            shutil.rmtree(home)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print_table(outcomes)
    return 1 if any(outcome.problem for outcome in outcomes) else 0


def on_duckdb(project: Path, home: Path, size: float, events: int) -> Outcome:
    """The bare limit and a whole run on DuckDB."""
    outcome = Outcome(size, "duckdb", events)
    _, outcome.bare_seconds = bare_limit(home)
    with environment({"CUSTOMER_HEALTH_TARGET": "dev"}):
        finish(outcome, run(project, home, END_DATE))
    return outcome


def on_spark(
    project: Path, home: Path, size: float, events: int, workers: int, minutes: float
) -> Outcome:
    """The bare limit and a whole run on a cluster of its own."""
    outcome = Outcome(size, f"spark, {workers} worker{'s' if workers > 1 else ''}", events)
    place = home / f"spark{workers}"
    with running_cluster(
        place / "cluster",
        workers=workers,
        worker_memory=WORKER_MEMORY,
        driver_memory=DRIVER_MEMORY,
        settings=LARGE,
    ) as cluster:
        server = SparkServer.from_profile(
            {
                "host": cluster.environment["CUSTOMER_HEALTH_SPARK_HOST"],
                "port": cluster.environment["CUSTOMER_HEALTH_SPARK_PORT"],
            }
        )
        with server.session() as session:
            outcome.load_seconds = load(session, home / "raw")
            outcome.bare_seconds = bare_limit_of_spark(session)
        own_home = place / "home"
        own_home.mkdir()
        with environment(cluster.environment), ended_after(cluster, minutes * 60):
            try:
                finish(outcome, run(project, own_home, END_DATE))
            except RuntimeError as error:
                outcome.problem = str(error).strip().splitlines()[-1][:200]
                if not cluster.processes:
                    outcome.problem = f"not finished within {minutes:g} min"
    return outcome


def load(session: Session, raw: Path) -> float:
    """Write the raw tables into Iceberg; seconds."""
    started = time.perf_counter()
    session.run("create schema if not exists raw")
    for table in TABLES:
        files = raw / table
        if not files.is_dir():
            continue
        session.run(
            f"create or replace temporary view incoming using parquet options (path '{files}')"
        )
        described = session.rows("describe incoming")
        # DuckDB's timestamps are without a zone, those of Spark instants, shown in UTC.
        columns = ", ".join(
            f"cast({name} as timestamp) as {name}" if kind.startswith("timestamp") else name
            for name, kind, _ in described
        )
        session.run(
            f"create or replace table raw.{table} using iceberg {_PARTITIONED.get(table, '')} "
            f"as select {columns} from incoming"
        )
    return time.perf_counter() - started


def bare_limit_of_spark(session: Session) -> float:
    """Seconds of one scan-and-group of the events, written to a table as in pipeline.py."""
    started = time.perf_counter()
    session.run(
        "create or replace table raw.bare using iceberg as select account_id, user_id, event_name, "
        "cast(occurred_at as date) as usage_date, count(*) as event_count, "
        "sum(duration_seconds) as duration_seconds from raw.product_events group by 1, 2, 3, 4"
    )
    seconds = time.perf_counter() - started
    session.run("drop table raw.bare purge")
    return seconds


def finish(outcome: Outcome, measured: Measured) -> None:
    """Take what was measured, with the slowest models."""
    outcome.run = measured
    ordered = sorted(measured.nodes.items(), key=lambda item: -item[1])
    outcome.slowest = ordered[:10]


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """With these variables, as processes that are started inherit them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def ended_after(cluster: Cluster, seconds: float) -> Iterator[None]:
    """End the cluster after some time, and with it the run that uses it."""
    timer = threading.Timer(seconds, cluster.stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def print_outcome(outcome: Outcome) -> None:
    """Steps and slowest models of one run."""
    print(f"\n{outcome.size:g}M events ({outcome.events:,}), {outcome.engine}")
    if outcome.problem:
        print(f"  {outcome.problem}")
    if outcome.run is not None:
        for step, seconds in outcome.run.steps.items():
            print(f"  {seconds:8.1f} s  {step}")
        print("  slowest nodes:")
        for name, seconds in outcome.slowest:
            print(f"  {seconds:8.1f} s  {name}")
    sys.stdout.flush()


def print_table(outcomes: list[Outcome]) -> None:
    """One line per size and engine."""
    print("\n| events | engine | loading into Iceberg | bare limit | whole run | of it dbt |")
    print("|---|---|---|---|---|---|")
    for outcome in outcomes:
        loaded = f"{outcome.load_seconds:.0f} s" if outcome.load_seconds else "–"
        whole = f"{outcome.run.seconds:.0f} s" if outcome.run else outcome.problem
        built = f"{outcome.run.steps.get('dbt build', 0):.0f} s" if outcome.run else "–"
        print(
            f"| {outcome.events:,} | {outcome.engine} | {loaded} | {outcome.bare_seconds:.1f} s "
            f"| {whole} | {built} |"
        )


if __name__ == "__main__":
    sys.exit(main())
