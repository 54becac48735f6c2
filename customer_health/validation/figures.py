"""The figures of one version and scorecard, as the validation marts hold them.

Nothing is computed here but choices: which version, which scorecard, which slice. A number that
stands in the report stands in a mart.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from customer_health.errors import HealthError, UsageError, first_line
from customer_health.publication import open_published
from customer_health.settings import Settings

SCHEMA = "customer_health"
Row = dict[str, Any]

OUT_OF_TIME = ("period", "out_of_time")
ALL = ("all", "all")
SCORE = "health_score"

# Mart -> order of its rows. Each has scoring_version and scorecard_key.
_MARTS = {
    "discrimination": "lead_days, horizon_days, slice_kind, slice_value, predictor_kind, "
    "predictor_key",
    "band_outcomes": "lead_days, horizon_days, slice_kind, slice_value, outcome, band_rank",
    "band_order": "lead_days, horizon_days, slice_kind, slice_value",
    "trend_agreement": "lead_days, horizon_days, slice_kind, slice_value, outcome, trend",
    "survival": "band_rank, duration_days",
    "churn_warnings": "churn_date, account_id",
    "warning_summary": "slice_kind, slice_value",
    "calibration": "horizon_days, slice_kind, slice_value, bin",
    "calibration_summary": "horizon_days, slice_kind, slice_value",
    "metrics": "weight desc, metric_key",
    "metric_cohorts": "metric_key, cohort",
    "stability": "as_of_date",
    "verdict": "scoring_version",
}
# Marts with other keys, and how their rows of a version are found.
_OTHER_MARTS = {
    "base_trend": ("val_health__base_trend", "scoring_version = $version", "from_date"),
    "version_comparison": (
        "val_health__version_comparison",
        "$version in (champion_version, challenger_version)",
        "challenger_version, lead_days, horizon_days",
    ),
    "band_migrations": (
        "val_health__band_migrations",
        "$version in (champion_version, challenger_version)",
        "challenger_version, champion_band, challenger_band",
    ),
    "csm_load": ("val_health__csm_load", "true", "scoring_version, csm_id"),
    "portfolio": (
        "bi_health__portfolio_daily",
        "dimension = 'all' and extract(dow from as_of_date) = 0",
        "as_of_date, band",
    ),
}
_NEEDED = ("discrimination", "verdict")
_CURVES = (90, 180, 365)  # days of survival that the report names
_FALSE_GREENS = 200  # of the list; the mart has all


@dataclass
class Figures:
    """What the marts say about one version and scorecard.

    Attributes:
        source: `published` or `candidate`.
        publication_id: of a published copy.
        limits: the seed validation_limits.
        parts: rows per mart, named without the prefix `val_health__`.
        missing: marts that this database does not hold.
        bands: rows of each band: band, label, rank, light.
        names: account_id to account_name, of the false greens.
    """

    source: str
    path: Path
    as_of_date: date
    publication_id: str | None
    scoring_version: str
    scorecard_key: str
    status: str
    limits: dict[str, float]
    parts: dict[str, list[Row]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def rows(self, part: str, **where: Any) -> list[Row]:
        """Rows of a part whose columns have these values."""
        return [
            row
            for row in self.parts.get(part, [])
            if all(row.get(name) == value for name, value in where.items())
        ]

    def in_slice(self, part: str, **where: Any) -> list[Row]:
        """Rows of the slice that counts: out of time, where there is one, else all."""
        for kind, value in (OUT_OF_TIME, ALL):
            found = self.rows(part, slice_kind=kind, slice_value=value, **where)
            if found:
                return found
        return []

    def predictor(self, key: str = SCORE, **where: Any) -> Row:
        """The discrimination of a score in the slice that counts; headline unless told."""
        found = self.in_slice(
            "discrimination",
            predictor_kind="score",
            predictor_key=key,
            **(where or {"is_headline": True}),
        )
        return found[0] if found else {}

    @property
    def probability_days(self) -> int | None:
        """The horizon in which probabilities are judged: their own, else that of the headline."""
        own = self.limits.get("probability_days")
        horizons = {row["horizon_days"] for row in self.parts.get("calibration_summary", [])}
        return (
            int(own) if own is not None and own in horizons else self.headline.get("horizon_days")
        )

    @property
    def headline(self) -> Row:
        """The discrimination of the health score in the headline window."""
        return self.predictor()

    @property
    def verdict(self) -> Row:
        """The row of the verdict; empty where the mart has none."""
        found = self.parts.get("verdict", [])
        return found[0] if found else {}

    def leads(self, key: str = SCORE) -> list[Row]:
        """The discrimination of a score by lead, of the headline's horizon."""
        horizon = self.headline.get("horizon_days")
        if horizon is None:
            return []
        found = self.in_slice(
            "discrimination", predictor_kind="score", predictor_key=key, horizon_days=horizon
        )
        return sorted(found, key=lambda row: row["lead_days"])


@contextmanager
def open_marts(settings: Settings, *, candidate: bool = False) -> Iterator[Any]:
    """The readers' copy, or the candidate, for reading only.

    Raises:
        HealthError: when there is none, or it cannot be read.
    """
    path = settings.candidate if candidate else settings.published
    if not path.exists():
        what = "candidate" if candidate else "publication"
        raise HealthError(f"there is no {what} ({path}): run `customer-health run` first")
    try:
        with open_published(path) as connection:
            connection.execute("set TimeZone = 'UTC'")
            yield connection
    except duckdb.IOException as error:
        if "lock" in str(error):
            raise
        raise HealthError(f"{path} cannot be read: {first_line(str(error), 160)}") from error


def read_figures(
    connection: Any,
    settings: Settings,
    *,
    version: str | None = None,
    scorecard: str | None = None,
    candidate: bool = False,
) -> Figures:
    """Everything the report tells about one version and scorecard.

    Args:
        connection: of `open_marts`.
        settings: project with the limits.
        version: scoring version; by default the champion, which is the one in force last.
        scorecard: by default that of most accounts.
        candidate: whether the connection is to the candidate.

    Raises:
        HealthError: when the validation marts are missing.
        UsageError: for a version or scorecard that they do not hold.
    """
    tables = {
        row[0]
        for row in connection.execute(
            "select table_name from information_schema.tables where table_schema = ?", [SCHEMA]
        ).fetchall()
    }
    lacking = [name for name in _NEEDED if f"val_health__{name}" not in tables]
    if lacking:
        raise HealthError(
            f"there is no mart val_health__{lacking[0]}: this was built by an earlier version of "
            "the project; run `customer-health run`"
        )
    as_of, champion = _newest(connection)
    chosen, card = _choose(connection, champion, version, scorecard)
    figures = Figures(
        source="candidate" if candidate else "published",
        path=settings.candidate if candidate else settings.published,
        as_of_date=as_of,
        publication_id=None if candidate else _publication_id(connection, tables),
        scoring_version=chosen,
        scorecard_key=card,
        status="champion" if chosen == champion else "not in force",
        limits=read_limits(settings),
    )
    parameters = {"version": chosen, "scorecard": card}
    for part, order in _MARTS.items():
        if f"val_health__{part}" not in tables:
            figures.missing.append(f"val_health__{part}")
            continue
        figures.parts[part] = fetch(
            connection,
            f"select * from {SCHEMA}.val_health__{part} where scoring_version = $version "
            f"and scorecard_key = $scorecard order by {order}",
            parameters,
        )
    for part, (table, condition, order) in _OTHER_MARTS.items():
        if table not in tables:
            figures.missing.append(table)
            continue
        figures.parts[part] = fetch(
            connection,
            f"select * from {SCHEMA}.{table} where {condition} order by {order}",
            {"version": chosen} if "$version" in condition else {},
        )
    _read_names(connection, figures, tables)
    return figures


def fetch(connection: Any, query: str, parameters: dict[str, Any] | None = None) -> list[Row]:
    """Rows as dicts; what is no finite number is no value."""
    answer = connection.execute(query, parameters or {})
    names = [column[0] for column in answer.description]
    return [
        {name: _finite(value) for name, value in zip(names, row, strict=True)}
        for row in answer.fetchall()
    ]


def read_limits(settings: Settings) -> dict[str, float]:
    """The seed validation_limits: of the project, else of the package.

    Raises:
        HealthError: when it is missing, or a value is no number.
    """
    from customer_health.policy import PACKAGE_DIR

    package = settings.project_dir / "dbt_packages" / "customer_health"
    for folder in (settings.project_dir, package, PACKAGE_DIR):
        path = folder / "seeds" / "validation_limits.csv"
        if path.is_file():
            break
    else:
        raise HealthError("seeds/validation_limits.csv: the seed is missing")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    limits = {}
    for number, row in enumerate(rows, 2):
        try:
            limits[row["limit_key"]] = float(row["value"])
        except (KeyError, TypeError, ValueError) as error:
            raise HealthError(
                f"seeds/{path.name}, row {number}: no number under value; write it as 0.85"
            ) from error
    return limits


def limit(figures: Figures, key: str) -> float:
    """A limit of the seed.

    Raises:
        HealthError: when the seed has no such row.
    """
    try:
        return figures.limits[key]
    except KeyError as error:
        raise HealthError(f"seeds/validation_limits.csv: there is no row {key}") from error


def observations(connection: Any, figures: Figures, row: Row) -> dict[str, Any]:
    """Scores and labels that a row of val_health__discrimination was counted from.

    The rule is that of int_health__labelled_observations, written here a second time on purpose:
    leak test 3 compares what comes of it with the mart.

    Args:
        connection: of `open_marts`.
        figures: of the version and scorecard.
        row: a row of the health score, for its window and slice.

    Returns:
        Arrays `score` and `is_churned`, one entry an account-month, in no particular order.
    """
    condition = "and is_out_of_time" if row.get("slice_value") == "out_of_time" else ""
    found = connection.execute(
        f"""
        select
            cast(health_score as double) as score,
            coalesce(days_to_churn < $lead + $horizon, false) as is_churned
        from {SCHEMA}.val_health__observations
        where
            scoring_version = $version
            and scorecard_key = $scorecard
            and health_score is not null
            and follow_up_days >= $lead + $horizon
            and not is_in_notice
            and coalesce(days_to_churn >= $lead, true)
            and not coalesce(is_involuntary and days_to_churn < $lead + $horizon, false)
            {condition}
        order by account_id, as_of_date
        """,
        {
            "lead": row["lead_days"],
            "horizon": row["horizon_days"],
            "version": figures.scoring_version,
            "scorecard": figures.scorecard_key,
        },
    ).fetchnumpy()
    return dict(found)


def _newest(connection: Any) -> tuple[date, str]:
    """The newest scored date, and the version in force on it.

    Raises:
        HealthError: when nothing was scored.
    """
    rows = connection.execute(
        f"""
        select as_of_date, scoring_version
        from {SCHEMA}.fct_health__account_scores
        group by as_of_date, scoring_version
        order by as_of_date desc, count(*) desc, scoring_version
        limit 1
        """
    ).fetchall()
    if not rows:
        raise HealthError("nobody was scored yet: run `customer-health run`")
    return rows[0][0], rows[0][1]


def _choose(
    connection: Any, champion: str, version: str | None, scorecard: str | None
) -> tuple[str, str]:
    """The version and scorecard to report."""
    rows = connection.execute(
        f"""
        select scoring_version, scorecard_key, count(distinct account_id) as account_count
        from (
            select scoring_version, scorecard_key, account_id
            from {SCHEMA}.val_health__observations
            union all
            select scoring_version, scorecard_key, account_id
            from {SCHEMA}.fct_health__account_scores
        )
        group by 1, 2
        order by account_count desc, scorecard_key
        """
    ).fetchall()
    chosen = version or champion
    cards = [card for known, card, _ in rows if known == chosen]
    if not cards:
        known = ", ".join(sorted({row[0] for row in rows}))
        raise UsageError(f"--version: there are no scores of version {chosen!r}, only of {known}")
    if scorecard is None:
        return chosen, cards[0]
    if scorecard not in cards:
        raise UsageError(
            f"--scorecard: version {chosen} has no health scores of {scorecard!r}, only of "
            f"{', '.join(sorted(cards))}"
        )
    return chosen, scorecard


def _publication_id(connection: Any, tables: set[str]) -> str | None:
    """Id of the newest publication that a readers' copy lists."""
    if "fct_health__publications" not in tables:
        return None
    rows = connection.execute(
        f"select publication_id from {SCHEMA}.fct_health__publications "
        "order by published_at desc, publication_id desc limit 1"
    ).fetchall()
    return rows[0][0] if rows else None


def _read_names(connection: Any, figures: Figures, tables: set[str]) -> None:
    """Names of the accounts that the report lists."""
    wanted = [row["account_id"] for row in false_greens(figures)]
    if not wanted or "dim_health__accounts" not in tables:
        return
    figures.names = dict(
        connection.execute(
            f"select account_id, account_name from {SCHEMA}.dim_health__accounts "
            "where account_id in (select unnest($wanted))",
            {"wanted": wanted},
        ).fetchall()
    )


def false_greens(figures: Figures) -> list[Row]:
    """Churned accounts that looked well shortly before, the largest first."""
    found = figures.rows("churn_warnings", is_false_green=True)
    found.sort(key=lambda row: (-(row.get("arr_amount") or 0), row["account_id"]))
    return found[:_FALSE_GREENS]


def survival_at(figures: Figures) -> dict[str, dict[int, Row]]:
    """Survival per band at the milestones, as far as accounts were followed."""
    return {
        str(row["band"]): {
            each["duration_days"]: each
            for each in figures.rows("survival", band=row["band"])
            if each["duration_days"] in _CURVES and each.get("is_milestone", True)
        }
        for row in figures.parts.get("survival", [])
    }


def _finite(value: Any) -> Any:
    """A value, or None for a float that is no finite number."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
