"""The figures of one version and scorecard, as the validation marts hold them.

Nothing is computed here but choices: which version, which scorecard, which slice. A number that
stands in the report stands in a mart.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from customer_health.errors import HealthError, UsageError, first_line
from customer_health.publication import open_published
from customer_health.settings import Settings
from customer_health.warehouses import Reader
from customer_health.warehouses.duckdb import DuckDBReader

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
    "metrics": "weight desc nulls last, metric_key",
    "metric_cohorts": "metric_key, cohort",
    "stability": "as_of_date",
    "verdict": "scoring_version",
}
# Marts with other keys, and how their rows of a version are found (`?` is the version).
_OTHER_MARTS = {
    "base_trend": ("val_health__base_trend", "scoring_version = ?", "from_date"),
    "version_comparison": (
        "val_health__version_comparison",
        "? in (champion_version, challenger_version)",
        "challenger_version, lead_days, horizon_days",
    ),
    "band_migrations": (
        "val_health__band_migrations",
        "? in (champion_version, challenger_version)",
        "challenger_version, champion_band, challenger_band",
    ),
    "csm_load": ("val_health__csm_load", "1 = 1", "scoring_version, csm_id"),
    "portfolio": ("bi_health__portfolio_daily", "dimension = 'all'", "as_of_date, band"),
}
_SUNDAY = 6  # of date.weekday(); engines number the days differently
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
    return figures_of(
        as_reader(connection),
        read_limits(settings),
        settings.candidate if candidate else settings.published,
        version=version,
        scorecard=scorecard,
        candidate=candidate,
    )


def figures_of(
    reader: Reader,
    limits: dict[str, float],
    path: Path,
    *,
    version: str | None = None,
    scorecard: str | None = None,
    candidate: bool = False,
) -> Figures:
    """As `read_figures`, of marts on any engine.

    Args:
        reader: of what readers have, or of the candidate.
        limits: of `read_limits`.
        path: file of the marts, where they lie in one.
        version: scoring version; by default the champion, which is the one in force last.
        scorecard: by default that of most accounts.
        candidate: whether the reader is of the candidate.

    Raises:
        HealthError: when the validation marts are missing.
        UsageError: for a version or scorecard that they do not hold.
    """
    for name in _NEEDED:
        if not reader.has(f"val_health__{name}"):
            raise HealthError(
                f"there is no mart val_health__{name}: this was built by an earlier version of "
                "the project; run `customer-health run`"
            )
    as_of, champion = _newest(reader)
    chosen, card = _choose(reader, champion, version, scorecard)
    figures = Figures(
        source="candidate" if candidate else "published",
        path=path,
        as_of_date=as_of,
        publication_id=None if candidate else _publication_id(reader),
        scoring_version=chosen,
        scorecard_key=card,
        status="champion" if chosen == champion else "not in force",
        limits=limits,
    )
    for part, order in _MARTS.items():
        if not reader.has(f"val_health__{part}"):
            figures.missing.append(f"val_health__{part}")
            continue
        figures.parts[part] = fetch(
            reader,
            f"select * from {{marts}}.val_health__{part} "
            f"where scoring_version = ? and scorecard_key = ? order by {order}",
            [chosen, card],
        )
    for part, (table, condition, order) in _OTHER_MARTS.items():
        if not reader.has(table):
            figures.missing.append(table)
            continue
        figures.parts[part] = fetch(
            reader,
            f"select * from {{marts}}.{table} where {condition} order by {order}",
            [chosen] if "?" in condition else [],
        )
    if "portfolio" in figures.parts:
        figures.parts["portfolio"] = [
            row for row in figures.parts["portfolio"] if row["as_of_date"].weekday() == _SUNDAY
        ]
    _read_names(reader, figures)
    return figures


def as_reader(marts: Any) -> Reader:
    """A reader, also of a connection of `open_marts`."""
    return marts if isinstance(marts, Reader) else DuckDBReader(marts)


def fetch(reader: Reader, query: str, values: Sequence[Any] = ()) -> list[Row]:
    """Rows as dicts; what is no finite number is no value."""
    return [
        {name: _finite(value) for name, value in row.items()}
        for row in reader.records(query, values)
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


def observations(marts: Any, figures: Figures, row: Row) -> dict[str, Any]:
    """Scores and labels that a row of val_health__discrimination was counted from.

    The rule is that of int_health__labelled_observations, written here a second time on purpose:
    leak test 3 compares what comes of it with the mart.

    Args:
        marts: a reader, or a connection of `open_marts`.
        figures: of the version and scorecard.
        row: a row of the health score, for its window and slice.

    Returns:
        Arrays `score` and `is_churned` (0 or 1), one entry an account-month, by account and date.
    """
    condition = "and is_out_of_time" if row.get("slice_value") == "out_of_time" else ""
    lead, end = row["lead_days"], row["lead_days"] + row["horizon_days"]
    return as_reader(marts).arrays(
        f"""
        select
            cast(health_score as double precision) as score,
            coalesce(days_to_churn < ?, false) as is_churned
        from {{marts}}.val_health__observations
        where
            scoring_version = ?
            and scorecard_key = ?
            and health_score is not null
            and follow_up_days >= ?
            and not is_in_notice
            and coalesce(days_to_churn >= ?, true)
            and not coalesce(is_involuntary and days_to_churn < ?, false)
            {condition}
        order by account_id, as_of_date
        """,
        [end, figures.scoring_version, figures.scorecard_key, end, lead, end],
    )


def _newest(reader: Reader) -> tuple[date, str]:
    """The newest scored date, and the version in force on it.

    Raises:
        HealthError: when nothing was scored.
    """
    rows = reader.rows(
        """
        select as_of_date, scoring_version
        from {marts}.fct_health__account_scores
        where as_of_date = (select max(as_of_date) from {marts}.fct_health__account_scores)
        group by as_of_date, scoring_version
        order by count(*) desc, scoring_version
        limit 1
        """
    )
    if not rows:
        raise HealthError("nobody was scored yet: run `customer-health run`")
    return rows[0][0], rows[0][1]


def _choose(
    reader: Reader, champion: str, version: str | None, scorecard: str | None
) -> tuple[str, str]:
    """The version and scorecard to report."""
    rows = reader.rows(
        """
        select scoring_version, scorecard_key, count(distinct account_id) as account_count
        from (
            select scoring_version, scorecard_key, account_id
            from {marts}.val_health__observations
            union all
            select scoring_version, scorecard_key, account_id
            from {marts}.fct_health__account_scores
        ) as scored
        group by scoring_version, scorecard_key
        order by account_count desc, scorecard_key
        """
    )
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


def _publication_id(reader: Reader) -> str | None:
    """Id of the newest publication that a readers' copy lists."""
    if not reader.has("fct_health__publications"):
        return None
    rows = reader.rows(
        """
        select publication_id
        from {marts}.fct_health__publications
        order by published_at desc, publication_id desc
        limit 1
        """
    )
    return rows[0][0] if rows else None


def _read_names(reader: Reader, figures: Figures) -> None:
    """Names of the accounts that the report lists."""
    wanted = [row["account_id"] for row in false_greens(figures)]
    if not wanted or not reader.has("dim_health__accounts"):
        return
    marks = ", ".join("?" for _ in wanted)
    figures.names = {
        account_id: name
        for account_id, name in reader.rows(
            f"select account_id, account_name from {{marts}}.dim_health__accounts "
            f"where account_id in ({marks})",
            wanted,
        )
    }


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
