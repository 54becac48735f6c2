"""Does the score of the example predict churn? Prints the answer, and writes it into README.md.

Point in time: an account is looked at on the first Sunday of each month, with its score of that
date; it counts as churned if its churn date (outcome.csv, which no model reads) lies within the 60
days from there on. Months whose 60 days were not over when the data end are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
HORIZON_DAYS = 60
DATA_END = date(2023, 7, 2)  # the first day of which the outcome is not known
ANCHORS_UNTIL = date(2022, 7, 3)  # the anchors were taken before this date
FEWEST_CHURNERS = 30
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Row = tuple[str, ...]

# Categories of the package's `standard` scorecard, and the raw tables of which any one feeds them.
STANDARD_CATEGORIES = {
    "product_usage": ("product_usage",),
    "satisfaction": ("survey_responses", "csat_answers"),
    "churn_risk": ("crm_accounts",),
    "support": ("support_tickets",),
    "onboarding": ("onboarding_milestones",),
    "engagement": ("marketing_engagements",),
    "revenue": ("billing_subscriptions", "billing_invoices"),
}


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve with its 95% interval (Hanley and McNeil 1982), and the counts.

    1: every churner scored below every account that stayed; 0.5: no relation. NaN below 30
    churners.
    """

    value: float
    low: float
    high: float
    account_months: int
    churners: int

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"not enough outcomes ({self.churners})"
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def average_ranks(values: Floats) -> Floats:
    """Ranks from 1 on, ties sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = ((last - counts + 1 + last) / 2)[place]
    return ranks


def auc(scores: Floats, churned: Flags) -> Auc:
    """AUC of a score for which higher is healthier.

    Args:
        scores: one per account and month, finite.
        churned: whether that account churned within the horizon.
    """
    lost, kept = int(churned.sum()), int((~churned).sum())
    if lost < FEWEST_CHURNERS or kept < FEWEST_CHURNERS:
        return Auc(math.nan, math.nan, math.nan, lost + kept, lost)
    ranks = average_ranks(-scores)
    value = (float(ranks[churned].sum()) - lost * (lost + 1) / 2) / (lost * kept)
    both_lost, both_kept = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (
        value * (1 - value)
        + (lost - 1) * (both_lost - value**2)
        + (kept - 1) * (both_kept - value**2)
    ) / (lost * kept)
    reach = 1.96 * math.sqrt(max(variance, 0.0))
    return Auc(value, max(0.0, value - reach), min(1.0, value + reach), lost + kept, lost)


def connect(home: Path) -> duckdb.DuckDBPyConnection:
    """Open the published copy, attach the outcome and prepare the table `observations`.

    Raises:
        FileNotFoundError: when the example was not run in `home`.
    """
    for name in ("published.duckdb", "landing.duckdb"):
        if not (home / name).is_file():
            raise FileNotFoundError(f"there is no {home / name}: run run.py first")
    connection = duckdb.connect(str(home / "published.duckdb"), read_only=True)
    landing = str(home / "landing.duckdb").replace("'", "''")
    connection.execute(f"attach '{landing}' as landing (read_only)")
    connection.execute("set enable_external_access = false")
    connection.execute(
        """
        create temp table observations as
        select
            scores.account_id,
            scores.as_of_date,
            scores.tenure_days,
            scores.band,
            scores.band_rank,
            scores.health_score,
            scores.health_score_exact,
            coalesce(
                outcome.churn_date < scores.as_of_date + cast($horizon as integer), false
            ) as is_churned
        from customer_health.fct_health__account_scores as scores
        inner join landing.raw.outcome as outcome
            on scores.account_id = outcome.account_id
        where
            dayofweek(scores.as_of_date) = 0
            and day(scores.as_of_date) <= 7
            and scores.as_of_date + cast($horizon as integer) <= $data_end
            and (outcome.churn_date is null or outcome.churn_date >= scores.as_of_date)
            and scores.health_score is not null
        """,
        {"horizon": HORIZON_DAYS, "data_end": DATA_END},
    )
    return connection


def measure(
    connection: duckdb.DuckDBPyConnection,
    column: str = "health_score",
    where: str = "true",
    metric: str | None = None,
) -> Auc:
    """AUC of one column of `observations`, or of one metric's score."""
    source = "observations"
    if metric is not None:
        source = f"""(
            select
                observations.*,
                metrics.metric_score
            from observations
            inner join customer_health.fct_health__metric_scores as metrics
                on
                    observations.account_id = metrics.account_id
                    and observations.as_of_date = metrics.as_of_date
                    and metrics.scorecard_key = 'usage_only'
                    and metrics.metric_key = '{metric}'
                    and metrics.metric_score is not null
        )"""
    found = connection.execute(
        f"select {column} as score, is_churned from {source} where {where}"
    ).fetchnumpy()
    return auc(
        np.asarray(found["score"], dtype=np.float64), np.asarray(found["is_churned"], dtype=bool)
    )


# -- the tables ----------------------------------------------------------------------------------


def auc_rows(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    """AUC of the whole score, over all months and split by time and tenure."""
    later = f"as_of_date >= date '{ANCHORS_UNTIL}'"
    parts = {
        "all months": "true",
        "the six months of the anchors": f"not ({later})",
        "later months": later,
        "later months, tenure below 90 days": f"{later} and tenure_days < 90",
        "later months, tenure 90 days and more": f"{later} and tenure_days >= 90",
    }
    rows: list[Row] = []
    for label, where in parts.items():
        whole = measure(connection, where=where)
        exact = measure(connection, "health_score_exact", where)
        base = whole.churners / max(whole.account_months, 1)
        counts = (f"{whole.account_months:,}", str(whole.churners), f"{base:.2%}")
        rows.append((label, *counts, str(whole), str(exact)))
    return rows


def metric_rows(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    """AUC of each weighted metric alone, in the later months."""
    metrics = connection.execute(
        """
        select
            metric_key,
            any_value(category_weight * metric_weight) as weight,
            stddev_pop(metric_score) as spread
        from customer_health.fct_health__metric_scores
        where scorecard_key = 'usage_only'
        group by metric_key
        order by 2 desc, 1
        """
    ).fetchall()
    where = f"as_of_date >= date '{ANCHORS_UNTIL}'"
    return [
        (
            metric,
            f"{weight:.3f}",
            f"{spread:.2f}",
            str(measure(connection, "metric_score", where, metric)),
        )
        for metric, weight, spread in metrics
    ]


def band_rows(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    """Accounts per band on the newest date, and what became of the later months' accounts."""
    return [
        (band, f"{now:,}", f"{now_share:.1%}", f"{months:,}", str(churners), rate)
        for band, now, now_share, months, churners, rate in connection.execute(
            """
            with

            newest as (
                select
                    band,
                    band_rank,
                    count(*) as accounts,
                    count(*) / sum(count(*)) over () as share
                from customer_health.fct_health__account_scores
                where as_of_date = (
                    select max(as_of_date) from customer_health.fct_health__account_scores
                )
                group by 1, 2
            ),

            later as (
                select
                    band,
                    count(*) as account_months,
                    count(*) filter (where is_churned) as churners
                from observations
                where as_of_date >= $anchors_until
                group by 1
            )

            select
                newest.band,
                newest.accounts,
                newest.share,
                coalesce(later.account_months, 0),
                coalesce(later.churners, 0),
                coalesce(format('{:.1f}%', 100 * later.churners / later.account_months), '')
            from newest
            left join later on newest.band = later.band
            order by newest.band_rank
            """,
            {"anchors_until": ANCHORS_UNTIL},
        ).fetchall()
    ]


def category_rows(connection: duckdb.DuckDBPyConnection, home: Path) -> list[Row]:
    """Say what is connected, and how much of it was known, per category on the newest date."""
    with duckdb.connect(str(home / "build.duckdb"), read_only=True) as build:
        connected = {
            source
            for (source,) in build.execute(
                "select distinct source_key from "
                "customer_health_intermediate.int_health__source_coverage where is_connected"
            ).fetchall()
        }
    found = {
        (scorecard, category): (weight, known)
        for scorecard, category, weight, known in connection.execute(
            """
            select
                scorecard_key,
                category_key,
                sum(category_weight * metric_weight) / count(distinct account_id) as weight,
                count(*) filter (where value_state in ('observed', 'zero'))
                / nullif(count(*) filter (where value_state in ('observed', 'zero', 'unknown')), 0)
            from customer_health.fct_health__metric_scores
            where as_of_date = (
                select max(as_of_date) from customer_health.fct_health__account_scores
            )
            group by 1, 2
            """
        ).fetchall()
    }
    rows: list[Row] = [
        (scorecard, category, f"{weight:.2f}", "not connected" if known is None else f"{known:.0%}")
        for (scorecard, category), (weight, known) in sorted(found.items(), key=_by_weight)
    ]
    for category, sources in STANDARD_CATEGORIES.items():
        if not connected.intersection(sources):
            rows.append(("none here", category, "0.00", "not connected"))
    return rows


def _by_weight(item: tuple[tuple[str, str], tuple[float, float | None]]) -> tuple[object, ...]:
    """Order of the categories: usage_only first, then the heavier ones."""
    (scorecard, category), (weight, _) = item
    return (scorecard != "usage_only", scorecard, -round(weight, 6), category)


def fact_rows(connection: duckdb.DuckDBPyConnection, home: Path) -> list[Row]:
    """Size and time of the run."""
    newest = connection.execute(
        """
        select
            max(as_of_date),
            count(distinct as_of_date),
            count(*),
            count(distinct account_id),
            count(distinct account_id) filter (where health_score is not null),
            min(connected_weight)
        from customer_health.fct_health__account_scores
        """
    ).fetchone()
    assert newest is not None
    spread = connection.execute(
        """
        select
            count(*),
            quantile_cont(health_score, [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]),
            avg(coverage)
        from customer_health.fct_health__account_scores
        where as_of_date = $as_of and health_score is not null
        """,
        {"as_of": newest[0]},
    ).fetchone()
    assert spread is not None
    usage = connection.execute("select count(*) from landing.raw.event_daily").fetchone()
    assert usage is not None
    rows: list[Row] = [
        ("usage rows read (account, day, event type)", f"{usage[0]:,}"),
        ("accounts ever scored", f"{newest[4]:,} of {newest[3]:,}"),
        ("dates", f"{newest[1]} Sundays to {newest[0]}"),
        ("account scores", f"{newest[2]:,}"),
        (f"accounts scored on {newest[0]}", f"{spread[0]:,}"),
        (
            "health_score: lowest, p10, p25, median, p75, p90, highest",
            ", ".join(f"{value:.0f}" for value in spread[1]),
        ),
        ("mean coverage, connected weight of usage_only", f"{spread[2]:.2f}, {newest[5]:.2f}"),
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


def report(home: Path) -> str:
    """All results as Markdown.

    Raises:
        FileNotFoundError: when the example was not run in `home`.
    """
    with connect(home) as connection:
        parts = [
            table(("what", "result"), fact_rows(connection, home)),
            f"Churn within {HORIZON_DAYS} days, monthly, with 95% intervals:",
            table(
                ("months", "account-months", "churned", "base rate", "AUC", "AUC, exact score"),
                auc_rows(connection),
            ),
            "Bands on the newest date, and churn by band in the later months:",
            table(
                ("band", "accounts now", "share", "account-months", "churned", "churn rate"),
                band_rows(connection),
            ),
            "Each metric alone, in the later months (the weight is that in `usage_only`):",
            table(("metric", "weight", "spread of its score", "AUC"), metric_rows(connection)),
            "Coverage by category on the newest date (known of what applies):",
            table(("scorecard", "category", "weight", "known"), category_rows(connection, home)),
        ]
    return "\n\n".join(parts)


def write_readme(results: str, readme: Path) -> None:
    """Put the results between the two marks of README.md.

    Raises:
        ValueError: when the marks are not there.
    """
    text = readme.read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found_begin and found_end):
        raise ValueError(f"{readme.name} lacks the lines {BEGIN} and {END}")
    readme.write_text(f"{before}{BEGIN}\n{results}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Print the results; with --write also into README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("CUSTOMER_HEALTH_HOME") or HERE / "warehouse"),
        help="folder of the databases",
    )
    parser.add_argument("--write", action="store_true", help="put the results into README.md")
    arguments = parser.parse_args()
    try:
        results = report(arguments.home)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(results)
    if arguments.write:
        write_readme(results, HERE / "README.md")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
