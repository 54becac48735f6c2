"""The same usage metrics made in several ways: seconds and ratios, results compared.

    python benchmarks/comparison.py --events 1000000
    pip install --no-deps --target /tmp/book fightchurn==1.2.0
    python benchmarks/comparison.py --events 1000000 --fightchurn /tmp/book

Five metrics of the default policy (logins, events, active days, key success events, active users),
each over the 30 days before every Sunday of a year, per account:

- ours: the models from the events on (user days, account days, intervals, windows); each model's
  own seconds as dbt measured them. They give more than was asked for: a row for every account and
  date where nothing happened, the date of the last use, and two measures beside active users.
- DuckDB by hand: events to days, days to the Sundays that see them, one group. What someone who
  knows DuckDB writes for these five metrics and nothing else.
- pandas: one filter and one group per metric and date.
- per metric and date in SQL, as "Fighting Churn with Data" (Gold 2020) teaches: one insert per
  metric that joins events to dates by range, on PostgreSQL with the book's indexes; loading and
  indexing are not counted.
- with --fightchurn, the listings of the book's own package, on the same server: a count per event
  name (3.3), totals of those (7.3), distinct users (7.9). It has none for active days, so it makes
  four of the five metrics. Its windows of 28 days are set to ours.

All read the same Parquet files; doubled events are taken out of them first, since only ours would
see them. Rows where a metric is above zero must be equal, or the script fails. Exit code 1 where a
goal is missed: ours at most 1.5 times the time by hand, at least 10 times faster than the others.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import psycopg2
from events import Shape, make_home

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR / "tests/python"))

import postgres_server  # noqa: E402

AS_OF = date(2026, 6, 28)  # a Sunday, so that there is no other date
WINDOW_DAYS = 30
MOST_TIMES_BY_HAND = 1.5
LEAST_TIMES_FASTER = 10
MEMORY = "8GB"
THREADS = 2
MODELS = (
    "int_health__usage_user_days",
    "int_health__usage_account_days",
    "int_health__usage_counts",
    "int_health__usage_windows",
)
KEY_EVENTS = ("share_report", "create_automation", "run_automation")
BOOK = {
    "count": "chap3/listing_3_3_count_metric_insert.sql",
    "total": "chap7/insert_7_3_total_metric.sql",
    "users": "chap7/insert_7_9_count_active_users.sql",
}
METRICS = ("logins", "events", "usage_frequency", "key_success_events", "active_users")
BOOK_METRICS = tuple(name for name in METRICS if name != "usage_frequency")
_RESULT = "account_id varchar, as_of_date date, metric_key varchar, metric_value double"
_PROJECT_PARTS = ("dbt_project.yml", "profiles.yml", "macros", "models", "seeds", "snapshots")


@dataclass(frozen=True)
class Case:
    """One run of the comparison.

    Attributes:
        folder: scratch folder; `home` below it holds the raw data and our warehouse.
        dates: Sundays for which the metrics are made.
    """

    folder: Path
    dates: list[date]

    @property
    def home(self) -> Path:
        """Folder of the raw data and of the warehouse."""
        return self.folder / "home"

    @property
    def files(self) -> str:
        """The events, as a pattern of Parquet files."""
        return str(self.home / "raw/product_events/*.parquet")


def main() -> int:
    """Run all ways and print the table; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=300_000)
    parser.add_argument("--fightchurn", type=Path, help="folder that the package is installed into")
    parser.add_argument("--without-slow", action="store_true", help="only ours and DuckDB by hand")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="comparison-") as name:
        shape = Shape(events=options.events, accounts=options.accounts, users=options.users)
        case = Case(Path(name), sundays(shape.first_date))
        rows = make_events(case, shape)
        print(
            f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, {THREADS} threads "
            f"each; {rows:,} events, {options.accounts:,} accounts, {len(case.dates)} dates, "
            f"{len(METRICS)} metrics"
        )
        ways: dict[str, Callable[[Case, duckdb.DuckDBPyConnection], float]] = {
            "ours": ours,
            "by_hand": by_hand,
        }
        if not options.without_slow:
            ways |= {"pandas": with_pandas, "per_metric_sql": per_metric_sql}
        if options.fightchurn:
            ways["fightchurn"] = partial(fightchurn, options.fightchurn)
        seconds = {}
        with duckdb.connect() as results:
            results.execute(f"set memory_limit = '{MEMORY}'; set threads = {THREADS}")
            for way, measure in ways.items():
                results.execute(f"create table {way} ({_RESULT})")
                seconds[way] = measure(case, results)
                print(f"{way:<15}{seconds[way]:>9.1f} s", flush=True)
            for way in list(ways)[1:]:
                count = assert_equal(results, way, BOOK_METRICS if way == "fightchurn" else METRICS)
                print(f"ours = {way}: {count:,} values above zero are equal")
    return verdict(seconds)


def verdict(seconds: dict[str, float]) -> int:
    """Print the ratios and say whether the goals are met, as exit code."""
    missed = 0
    ratio = seconds["ours"] / seconds["by_hand"]
    missed += ratio > MOST_TIMES_BY_HAND
    print(f"ours takes {ratio:.2f} x the time by hand (goal: at most {MOST_TIMES_BY_HAND})")
    for way in ("pandas", "per_metric_sql", "fightchurn"):
        if way in seconds:
            ratio = seconds[way] / seconds["ours"]
            missed += ratio < LEAST_TIMES_FASTER
            print(f"ours is {ratio:.1f} x as fast as {way} (goal: {LEAST_TIMES_FASTER})")
    return 1 if missed else 0


def sundays(first: date) -> list[date]:
    """The Sundays after `first`, up to AS_OF."""
    days = (AS_OF - first).days
    return [AS_OF - timedelta(days=back) for back in range(0, days, 7)][::-1]


def make_events(case: Case, shape: Shape) -> int:
    """Write the raw data, without events that were delivered twice; return the number of events."""
    make_home(case.home, shape)
    rows = 0
    for file in sorted((case.home / "raw/product_events").glob("*.parquet")):
        once = file.with_suffix(".once")
        written = duckdb.execute(
            f"copy (select distinct on (event_id) * from read_parquet('{file}') order by "
            f"occurred_at) to '{once}' (format parquet)"
        ).fetchone()
        assert written is not None
        rows += int(written[0])
        once.replace(file)
    return rows


def ours(case: Case, results: duckdb.DuckDBPyConnection) -> float:
    """Build our models with dbt; the seconds are those of MODELS alone."""
    project = case.folder / "project"
    for part in _PROJECT_PARTS:
        source = PROJECT_DIR / part
        target = project / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    keep_metrics(project / "seeds/event_metrics.csv")
    variables = {
        "customer_health__as_of_date": f"{AS_OF}",
        "customer_health__history_from": f"{case.dates[0]}",
        "customer_health__daily_from": f"{AS_OF}",
    }
    upstream = "+int_health__usage_windows"
    run_dbt(case, project, "seed", variables)
    run_dbt(case, project, "run", variables, "--select", upstream)
    report = json.loads((project / "target/run_results.json").read_text(encoding="utf-8"))
    times = {row["unique_id"].split(".")[-1]: row["execution_time"] for row in report["results"]}
    for model in MODELS:
        print(f"    {model:<36}{times[model]:>7.1f} s")
    others = sum(times.values()) - sum(times[model] for model in MODELS)
    print(f"    (not counted: checks, spine and policy {others:>17.1f} s)")
    results.execute(f"attach '{case.home / 'build.duckdb'}' as build (read_only)")
    schema = "build.customer_health_intermediate"
    metrics = ", ".join(f"'{name}'" for name in METRICS)
    results.execute(
        f"insert into ours select account_id, as_of_date, metric_key, window_value "
        f"from {schema}.int_health__usage_windows where scoring_version = 'v1' "
        f"and measure = 'value' and window_index = 0 and metric_key in ({metrics})"
    )
    results.execute(
        f"create table scored as select account_id, as_of_date from {schema}.int_health__spine"
    )
    return float(sum(times[model] for model in MODELS))


def keep_metrics(file: Path) -> None:
    """Take all but METRICS out of the policy's list of event metrics."""
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines[1:] if line.split(",")[1] in METRICS]
    file.write_text("\n".join([lines[0], *kept]) + "\n", encoding="utf-8")


def run_dbt(case: Case, project: Path, command: str, variables: dict[str, str], *more: str) -> None:
    """Run dbt on the copied project.

    Raises:
        SystemExit: where dbt fails, with what it said.
    """
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            command,
            *("--quiet", "--project-dir", str(project), "--profiles-dir", str(project)),
            *("--vars", json.dumps(variables)),
            *more,
        ],
        env=os.environ
        | {
            "CUSTOMER_HEALTH_HOME": str(case.home),
            "CUSTOMER_HEALTH_MEMORY_LIMIT": MEMORY,
            "CUSTOMER_HEALTH_THREADS": str(THREADS),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def by_hand(case: Case, results: duckdb.DuckDBPyConnection) -> float:
    """DuckDB as someone writes it who needs just these metrics on these dates."""
    keys = ", ".join(f"'{name}'" for name in KEY_EVENTS)
    started = time.perf_counter()
    results.execute(
        f"""
        create temp table user_days as
        select account_id, user_id, cast(occurred_at as date) as day, count(*) as events,
            count(*) filter (where event_name = 'login') as logins,
            count(*) filter (where event_name in ({keys})) as key_events
        from read_parquet('{case.files}')
        where occurred_at < timestamp '{AS_OF}'
        group by all
        """
    )
    results.execute(
        f"""
        insert into by_hand
        with dates as (
            select cast(unnest(generate_series(
                date '{case.dates[0]}', date '{AS_OF}', interval 7 day
            )) as date) as as_of_date
        ),
        day_dates as (
            select day, as_of_date
            from (select distinct day from user_days)
            inner join dates on day < as_of_date and day >= as_of_date - {WINDOW_DAYS}
        ),
        windows as (
            select account_id, as_of_date, sum(logins) as logins, sum(events) as events,
                count(distinct day) as usage_frequency, sum(key_events) as key_success_events,
                count(distinct user_id) as active_users
            from user_days
            inner join day_dates using (day)
            group by all
        )
        unpivot windows on {", ".join(METRICS)} into name metric_key value metric_value
        """
    )
    return time.perf_counter() - started


def with_pandas(case: Case, results: duckdb.DuckDBPyConnection) -> float:
    """One filter and one group per metric and date."""
    started = time.perf_counter()
    columns = ["account_id", "user_id", "event_name", "occurred_at"]
    events = pd.read_parquet(case.home / "raw/product_events", columns=columns)
    events["day"] = events["occurred_at"].dt.normalize()
    made = []
    for as_of_date in case.dates:
        end = pd.Timestamp(as_of_date)
        for metric in METRICS:
            is_inside = (events["occurred_at"] < end) & (
                events["occurred_at"] >= end - pd.Timedelta(days=WINDOW_DAYS)
            )
            window = events[is_inside]
            if metric == "logins":
                values = window[window["event_name"] == "login"].groupby("account_id").size()
            elif metric == "events":
                values = window.groupby("account_id").size()
            elif metric == "usage_frequency":
                values = window.groupby("account_id")["day"].nunique()
            elif metric == "key_success_events":
                values = window[window["event_name"].isin(KEY_EVENTS)].groupby("account_id").size()
            else:
                values = window.groupby("account_id")["user_id"].nunique()
            frame = values.rename("metric_value").reset_index()
            frame.insert(1, "as_of_date", end)
            frame.insert(2, "metric_key", metric)
            made.append(frame)
    result = pd.concat(made, ignore_index=True)
    seconds = time.perf_counter() - started
    results.register("made", result)
    results.execute("insert into pandas select * from made")
    return seconds


def per_metric_sql(case: Case, results: duckdb.DuckDBPyConnection) -> float:
    """One insert per metric that joins events and dates by range, on PostgreSQL."""
    measures = {
        "logins": ("count(*)", "event_type_name = 'login'"),
        "events": ("count(*)", "true"),
        "usage_frequency": ("count(distinct event_time::date)", "true"),
        "key_success_events": ("count(*)", f"event_type_name in {KEY_EVENTS}"),
        "active_users": ("count(distinct user_id)", "true"),
    }
    with postgres_server.server() as socket:
        load_postgres(case, results, socket)
        started = time.perf_counter()
        for number, (metric, (measure, condition)) in enumerate(measures.items()):
            postgres_server.execute(
                socket,
                "postgres",
                f"""
                insert into metric_name values ({number}, '{metric}');
                with dates as (
                    select cast(day as timestamp) as metric_date
                    from generate_series(
                        timestamp '{case.dates[0]}', timestamp '{AS_OF}', interval '7 days'
                    ) as days(day)
                )
                insert into metric
                select event.account_id, dates.metric_date, {number}, {measure}
                from event
                inner join dates
                    on event.event_time < dates.metric_date
                    and event.event_time >= dates.metric_date - interval '{WINDOW_DAYS} days'
                inner join event_type on event.event_type_id = event_type.event_type_id
                where event_type.{condition if condition != "true" else "event_type_id > 0"}
                group by event.account_id, dates.metric_date
                """,
            )
        seconds = time.perf_counter() - started
        made = read_metrics(socket)
    keep_result(results, "per_metric_sql", made)
    return seconds


def fightchurn(package: Path, case: Case, results: duckdb.DuckDBPyConnection) -> float:
    """Run the package's own listings, in the order in which the book has them.

    Args:
        package: folder that holds the package `fightchurn`.
        case: the raw data and the dates.
        results: gets the four metrics that the package has a listing for.
    """
    listings = package / "fightchurn/listings"
    statements = {name: (listings / file).read_text("utf-8") for name, file in BOOK.items()}
    with postgres_server.server() as socket:
        load_postgres(case, results, socket)
        types = postgres_server.execute(
            socket, "postgres", "select event_type_name from event_type order by 1"
        )
        names = [name for (name,) in types]
        orders = [("count", name, "") for name in names] + [
            ("total", "events", ", ".join(f"'{name}'" for name in names)),
            ("total", "key_success_events", ", ".join(f"'{name}'" for name in KEY_EVENTS)),
            ("users", "active_users", ""),
        ]
        started = time.perf_counter()
        for number, (listing, name, summed) in enumerate(orders):
            values = {
                "'28 day'": f"'{WINDOW_DAYS} day'",
                "%from_yyyy-mm-dd": f"{case.dates[0]}",
                "%to_yyyy-mm-dd": f"{AS_OF}",
                "%new_metric_id": f"{number}",
                "%new_metric_name": name,
                "%event2measure": name,
                "%metric_list": summed,
                "%obs_period": f"{WINDOW_DAYS}",
            }
            statement = statements[listing]
            for placeholder, value in values.items():
                statement = statement.replace(placeholder, value)
            if listing == "count":
                statement = f"insert into metric_name values ({number}, '{name}'); {statement}"
            postgres_server.execute(socket, "postgres", statement)
        seconds = time.perf_counter() - started
        made = read_metrics(socket)
    made["metric_key"] = made["metric_key"].replace({"login": "logins"})
    keep_result(results, "fightchurn", made)
    return seconds


def read_metrics(socket: str) -> pd.DataFrame:
    """Everything that was measured on PostgreSQL: account number, date, metric and value."""
    return pd.DataFrame(
        postgres_server.execute(
            socket,
            "postgres",
            "select account_id, metric_time, metric_name, metric_value "
            "from metric inner join metric_name using (metric_name_id)",
        ),
        columns=["account_number", "as_of_date", "metric_key", "metric_value"],
    )


def keep_result(results: duckdb.DuckDBPyConnection, way: str, made: pd.DataFrame) -> None:
    """Put what was measured on PostgreSQL under the names of accounts."""
    results.register("made", made)
    results.execute(
        f"insert into {way} select account_id, as_of_date, metric_key, metric_value "
        "from made inner join account_numbers using (account_number)"
    )


def load_postgres(case: Case, results: duckdb.DuckDBPyConnection, socket: str) -> None:
    """Load the events under numbers for ids, as the book's schema has them, with its indexes.

    Events come a microsecond later: some of the book's windows begin with a moment and end before
    one, as ours do, others the other way round, and events happen at whole seconds.
    """
    for name in ("account", "user", "event"):
        column = "event_name" if name == "event" else f"{name}_id"
        results.execute(
            f"create or replace table {name}_numbers as select {column}, "
            f"row_number() over (order by {column}) as {name}_number "
            f"from (select distinct {column} from read_parquet('{case.files}'))"
        )
    file = case.folder / "events.csv"
    results.execute(
        f"copy (select account_number, occurred_at + interval 1 microsecond, event_number, "
        f"user_number "
        f"from read_parquet('{case.files}') inner join account_numbers using (account_id) "
        f"inner join user_numbers using (user_id) inner join event_numbers using (event_name)) "
        f"to '{file}' (header false)"
    )
    types = results.execute("select event_number, event_name from event_numbers").fetchall()
    connection = psycopg2.connect(postgres_server.url(socket))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "create table event (account_id integer not null, event_time timestamp not null, "
            "event_type_id integer not null, user_id integer)"
        )
        cursor.execute("create table event_type (event_type_id integer, event_type_name text)")
        cursor.execute("create table metric_name (metric_name_id integer, metric_name text)")
        cursor.execute(
            "create table metric (account_id integer, metric_time timestamp, "
            "metric_name_id integer, metric_value real)"
        )
        cursor.executemany("insert into event_type values (%s, %s)", types)
        with file.open(encoding="utf-8") as rows:
            cursor.copy_expert("copy event from stdin with (format csv)", rows)
        for columns in ("event_time", "event_type_id", "account_id, event_time"):
            cursor.execute(f"create index on event ({columns})")
    connection.close()
    file.unlink()
    postgres_server.execute(socket, "postgres", "analyze")


def assert_equal(results: duckdb.DuckDBPyConnection, way: str, metrics: Sequence[str]) -> int:
    """Compare the values above zero on the accounts and dates that are scored; return their number.

    Raises:
        SystemExit: where a value differs or is missing on one side.
    """
    keys = ", ".join(f"'{name}'" for name in metrics)
    other = f"(select * from {way} semi join scored using (account_id, as_of_date))"
    counts = results.execute(
        f"""
        select
            count(*),
            count(*) filter (where ours.metric_value is distinct from other.metric_value)
        from (select * from ours where metric_value <> 0 and metric_key in ({keys})) as ours
        full join (
            select * from {other} where metric_value <> 0 and metric_key in ({keys})
        ) as other
            using (account_id, as_of_date, metric_key)
        """
    ).fetchone()
    assert counts is not None
    if counts[1] or not counts[0]:
        raise SystemExit(f"{way}: {counts[1]} of {counts[0]} values differ from ours")
    return int(counts[0])


if __name__ == "__main__":
    sys.exit(main())
