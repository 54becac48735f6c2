"""What the examples share: load files, run the commands that one would type, report the results.

An example is a dbt project in a folder beside this file, with a run.py that names its files
(`File`) and itself (`Example`). Copy both to start a project of your own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
SCHEMA = "customer_health"

Row = tuple[str, ...]


@dataclass(frozen=True)
class File:
    """A file that becomes a raw table.

    Attributes:
        name: file name in the folder of the data.
        columns: column name to DuckDB type; ids are text, a number would lose leading zeros.
        few: SQL condition that keeps the rows of the first so many accounts, written `{accounts}`;
            it may look at the tables loaded before.
        query: SQL that reads the file, written `{file}`; None: as CSV with a header.
    """

    name: str
    columns: Mapping[str, str]
    few: str
    query: str | None = None


@dataclass(frozen=True)
class Example:
    """An example project.

    Attributes:
        folder: its dbt project.
        variable: environment variable that names the folder of the data.
        files: raw table to file, in the order of loading.
        as_of: date that is scored last.
        scorecard: health scorecard of its accounts.
        months: whether the report shows every month.
    """

    folder: Path
    variable: str
    files: Mapping[str, File]
    as_of: date
    scorecard: str
    months: bool = False


# -- running -------------------------------------------------------------------------------------


def missing_files(files: Mapping[str, File], data: Path) -> list[str]:
    """Names of the files that `data` lacks."""
    return [file.name for file in files.values() if not (data / file.name).is_file()]


def load(
    files: Mapping[str, File], data: Path, home: Path, accounts: int | None = None
) -> dict[str, int]:
    """(Re)create `home/landing.duckdb` with one table a file, in the schema `raw`.

    Args:
        files: raw table to file.
        data: folder with the files.
        home: folder of the databases.
        accounts: only the first so many accounts, for quick tests; None for all.

    Returns:
        Rows per table.

    Raises:
        FileNotFoundError: when a file is missing; the old database is then as it was.
    """
    missing = missing_files(files, data)
    if missing:
        raise FileNotFoundError(f"{data} has no {', '.join(missing)}")
    home.mkdir(parents=True, exist_ok=True)
    scratch = home / f".landing-{os.getpid()}.duckdb"
    scratch.unlink(missing_ok=True)
    rows: dict[str, int] = {}
    try:
        with duckdb.connect(str(scratch)) as connection:
            connection.execute("create schema raw")
            for table, file in files.items():
                path = str(data / file.name).replace("'", "''")
                types = ", ".join(f"'{name}': '{kind}'" for name, kind in file.columns.items())
                read = f"select * from read_csv('{path}', header = true, columns = {{{types}}})"
                if file.query is not None:
                    read = file.query.format(file=path)
                where = "true" if accounts is None else file.few.format(accounts=int(accounts))
                connection.execute(
                    f"create table raw.{table} as select * from ({read}) as source where {where}"
                )
                counted = connection.table(f"raw.{table}").aggregate("count(*)").fetchone()
                rows[table] = int(counted[0]) if counted else 0
        scratch.replace(home / "landing.duckdb")
    finally:
        scratch.unlink(missing_ok=True)
    return rows


def commands(example: Example) -> dict[str, list[str]]:
    """Name the steps after loading, as the commands that one would type."""
    dbt = [str(Path(sys.executable).with_name("dbt"))]
    health = [sys.executable, "-m", "customer_health", "--project-dir", str(example.folder)]
    return {
        "install the package": [*dbt, "deps", "--quiet"],
        "run": [*health, "run", "--as-of", example.as_of.isoformat()],
    }


def run(
    example: Example, data: Path, home: Path, *, accounts: int | None = None
) -> dict[str, float]:
    """Run every step and stop at the first that fails.

    Args:
        example: what to run.
        data: folder with its files.
        home: folder of the databases.
        accounts: only the first so many accounts, for quick tests; None for all.

    Returns:
        Seconds per step; also in `home/example.json`.

    Raises:
        FileNotFoundError: when a file of the data is missing.
        subprocess.CalledProcessError: when a step fails; it has said why.
    """
    environment = {**os.environ, "CUSTOMER_HEALTH_HOME": str(home)}
    seconds: dict[str, float] = {}
    started = time.monotonic()
    load(example.files, data, home, accounts)
    seconds["load"] = time.monotonic() - started
    for title, command in commands(example).items():
        print(f"{title} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        subprocess.run(command, cwd=example.folder, env=environment, check=True)
        seconds[title] = time.monotonic() - started
    # On a busy machine the seconds say little; the processor time of the steps still does.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {"seconds": seconds, "processor_seconds": used.ru_utime + used.ru_stime}
    (home / "example.json").write_text(json.dumps(facts), encoding="utf-8")
    return seconds


def main(example: Example, description: str | None) -> int:
    """Run an example from the command line and print what came of it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get(example.variable),
        help=f"folder with the files (or {example.variable})",
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=os.environ.get("CUSTOMER_HEALTH_HOME") or example.folder / "warehouse",
        help="folder of the databases",
    )
    parser.add_argument("--accounts", type=int, help="only the first so many accounts")
    parser.add_argument(
        "--report", action="store_true", help="only report on the last run, run nothing"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the results into README.md as well"
    )
    arguments = parser.parse_args()
    home = Path(arguments.home).resolve()
    try:
        if not arguments.report:
            if arguments.data is None:
                parser.error(f"--data or {example.variable} must name the folder with the files")
            run(example, Path(arguments.data), home, accounts=arguments.accounts)
        results = report(example, home)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(results)
    if arguments.write:
        write_readme(results, example.folder / "README.md")
    return 0


# -- reporting -----------------------------------------------------------------------------------


def open_published(home: Path) -> duckdb.DuckDBPyConnection:
    """Open the readers' copy.

    Raises:
        FileNotFoundError: when nothing was published in `home`.
    """
    if not (home / "published.duckdb").is_file():
        raise FileNotFoundError(f"there is no {home / 'published.duckdb'}: run run.py first")
    connection = duckdb.connect(
        str(home / "published.duckdb"),
        read_only=True,
        config={"enable_external_access": "false"},
    )
    connection.execute(f"set schema = '{SCHEMA}'")
    return connection


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Write a figure with its 95% interval."""
    if value is None:
        return "not enough outcomes"
    if low is None or high is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f}-{high:.3f})"


def share(value: float | None) -> str:
    """Write a share in percent."""
    return "" if value is None else f"{value:.1%}"


def verdict(connection: duckdb.DuckDBPyConnection, scorecard: str) -> str:
    """The verdict of the validation on the version in force, in its own words."""
    row = connection.execute(
        """
        select verdict.verdict
        from val_health__verdict as verdict
        inner join (
            select distinct scoring_version
            from val_health__observations
            where is_in_force
        ) as in_force on verdict.scoring_version = in_force.scoring_version
        where verdict.scorecard_key = $scorecard
        """,
        {"scorecard": scorecard},
    ).fetchone()
    return "No verdict: nothing was scored in time." if row is None else str(row[0])


def auc_rows(connection: duckdb.DuckDBPyConnection, example: Example) -> list[Row]:
    """AUC of the score, the score without churn risk and equal weights, over time."""
    kinds = "('all', 'period', 'month')" if example.months else "('all', 'period')"
    found = connection.execute(
        f"""
        select
            case slice_kind
                when 'all' then 'all months'
                when 'month' then slice_value
                else replace(slice_value, '_', ' ')
            end as months,
            any_value(observation_count),
            any_value(churner_count),
            any_value(base_rate),
            {", ".join(_PREDICTOR_COLUMNS)}
        from val_health__discrimination
        where
            is_headline
            and scorecard_key = $scorecard
            and slice_kind in {kinds}
            and predictor_kind = 'score'
        group by slice_kind, slice_value
        order by slice_kind, slice_value
        """,
        {"scorecard": example.scorecard},
    ).fetchall()
    return [
        (
            str(months),
            f"{count:,}",
            f"{churners:,}",
            share(base),
            interval(*figures[:3]),
            interval(*figures[3:6]),
            interval(*figures[6:]),
        )
        for months, count, churners, base, *figures in found
    ]


_PREDICTOR_COLUMNS = tuple(
    f"max(case when predictor_key = '{key}' then {column} end)"
    for key in ("health_score", "score_without_churn_risk", "equal_weights")
    for column in ("auc", "auc_low", "auc_high")
)


def lead_rows(connection: duckdb.DuckDBPyConnection, example: Example) -> list[Row]:
    """AUC of the score by lead and horizon, out of time."""
    return [
        (f"{lead} days", f"{horizon} days", f"{churners:,}", interval(auc, low, high))
        for lead, horizon, churners, auc, low, high in connection.execute(
            """
            select lead_days, horizon_days, churner_count, auc, auc_low, auc_high
            from val_health__discrimination
            where
                scorecard_key = $scorecard
                and predictor_key = 'health_score'
                and slice_value = 'out_of_time'
            order by horizon_days, lead_days
            """,
            {"scorecard": example.scorecard},
        ).fetchall()
    ]


def band_rows(connection: duckdb.DuckDBPyConnection, example: Example) -> list[Row]:
    """Accounts per band on the newest date, and what became of those of the past."""
    return [
        (band, f"{now:,}", share(part), f"{months:,}", f"{lost:,}", share(rate), f"{low}-{high}")
        for band, now, part, months, lost, rate, low, high in connection.execute(
            """
            with

            newest as (
                select
                    band,
                    count(*) as accounts,
                    count(*) / sum(count(*)) over () as share
                from fct_health__account_scores
                where as_of_date = (select max(as_of_date) from fct_health__account_scores)
                group by band
            )

            select
                bands.band,
                coalesce(newest.accounts, 0),
                coalesce(newest.share, 0),
                bands.observation_count,
                bands.outcome_count,
                bands.rate,
                format('{:.1f}%', 100 * bands.rate_low),
                format('{:.1f}%', 100 * bands.rate_high)
            from val_health__band_outcomes as bands
            left join newest on bands.band = newest.band
            where
                bands.is_headline
                and bands.scorecard_key = $scorecard
                and bands.slice_kind = 'all'
                and bands.outcome = 'churn'
            order by bands.band_rank
            """,
            {"scorecard": example.scorecard},
        ).fetchall()
    ]


def metric_rows(connection: duckdb.DuckDBPyConnection, example: Example) -> list[Row]:
    """Each weighted metric alone, out of time."""
    return [
        (metric, f"{weight:.3f}", share(coverage), f"{spread or 0:.2f}", interval(auc, low, high))
        for metric, weight, coverage, spread, auc, low, high in connection.execute(
            """
            select metric_key, weight, coverage, score_spread, auc, auc_low, auc_high
            from val_health__metrics
            where scorecard_key = $scorecard
            order by weight desc, metric_key
            """,
            {"scorecard": example.scorecard},
        ).fetchall()
    ]


def source_rows(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    """Rows set aside, by table and reason."""
    return [
        (table_name, reason, f"{count:,}")
        for table_name, reason, count in connection.execute(
            """
            select source_table, rejection_reason, sum(row_count)
            from fct_health__rejected_rows
            group by all
            order by all
            """
        ).fetchall()
    ]


def fact_rows(connection: duckdb.DuckDBPyConnection, home: Path) -> list[Row]:
    """Size and time of the run."""
    newest = _one(
        connection,
        """
        select
            max(as_of_date),
            count(distinct as_of_date),
            count(*),
            count(distinct account_id),
            count(distinct account_id) filter (where health_score is not null),
            min(connected_weight)
        from fct_health__account_scores
        """,
    )
    spread = _one(
        connection,
        """
        select
            count(*),
            quantile_cont(health_score, [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]),
            avg(coverage)
        from fct_health__account_scores
        where
            as_of_date = (select max(as_of_date) from fct_health__account_scores)
            and health_score is not null
        """,
    )
    rows: list[Row] = [
        ("accounts ever scored", f"{newest[4]:,} of {newest[3]:,}"),
        ("dates", f"{newest[1]}, to {newest[0]}"),
        ("account scores", f"{newest[2]:,}"),
        (f"accounts scored on {newest[0]}", f"{spread[0]:,}"),
        (
            "health_score: lowest, p10, p25, median, p75, p90, highest",
            ", ".join(f"{value:.0f}" for value in spread[1]),
        ),
        ("mean coverage, connected weight", f"{spread[2]:.2f}, {newest[5]:.2f}"),
    ]
    steps = home / "example.json"
    if steps.is_file():
        facts = json.loads(steps.read_text(encoding="utf-8"))
        seconds = facts["seconds"]
        told = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
        rows.append(("run time", f"{sum(seconds.values()):.0f} s ({told})"))
        rows.append(("processor time of the steps", f"{facts['processor_seconds']:.0f} s"))
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    rows.append(("machine", f"{machine}, DuckDB {duckdb.__version__}"))
    rows.append(("date of the run", f"{datetime.now(UTC):%Y-%m-%d}"))
    return rows


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def report(example: Example, home: Path) -> str:
    """All results as Markdown.

    Raises:
        FileNotFoundError: when nothing was published in `home`.
    """
    with open_published(home) as connection:
        window = _one(
            connection,
            "select any_value(lead_days), any_value(horizon_days) "
            "from val_health__discrimination where is_headline",
        )
        parts = [
            f"**{verdict(connection, example.scorecard)}**",
            table(("what", "result"), fact_rows(connection, home)),
            f"AUC for churn within {window[1]} days, monthly, with 95% intervals:",
            table(
                ("months", "account-months", "churners", "base rate",
                 "score", "without churn risk", "equal weights"),
                auc_rows(connection, example),
            ),
            "AUC of the score out of time, by lead and horizon:",
            table(("lead", "horizon", "churners", "AUC"), lead_rows(connection, example)),
            f"Bands on the newest date, and churn within {window[1]} days by band, all months:",
            table(
                ("band", "accounts now", "share", "account-months", "churned", "churn", "95%"),
                band_rows(connection, example),
            ),
            "Each metric alone, out of time:",
            table(
                ("metric", "weight", "known", "spread of its score", "AUC"),
                metric_rows(connection, example),
            ),
            "Rows that the run set aside:",
            table(("table", "reason", "rows"), source_rows(connection) or [("none", "", "0")]),
        ]  # fmt: skip
    return "\n\n".join(parts)


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table, which reads as well on a terminal."""
    lines = [tuple(heading), *(tuple(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heading))]
    written = []
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        written.append(f"| {' | '.join(cells)} |")
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([written[0], rule, *written[1:]])


def write_readme(results: str, readme: Path) -> None:
    """Put the results between the two marks of a README.

    Raises:
        ValueError: when the marks are not there.
    """
    text = readme.read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found_begin and found_end):
        raise ValueError(f"{readme.name} lacks the lines {BEGIN} and {END}")
    readme.write_text(f"{before}{BEGIN}\n{results}\n{END}{after}", encoding="utf-8")
