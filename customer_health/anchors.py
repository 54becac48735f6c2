"""Default anchors and base rates of churn, taken from the data once and then policy.

Both read the candidate database, look at a window of the past that does not change any more, and
write rows of a seed for review. Nothing here is run by `customer-health run`: a score must not
move because other accounts did.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from customer_health.errors import HealthError, from_database_error
from customer_health.policy import (
    ANY,
    CHURN_PROBABILITY,
    Seed,
    csv_text,
    nearest_first,
    plain_number,
    read_seed,
    replace_files,
)
from customer_health.publication import in_schemas

# Percentile of the value -> score (scoring-model.md, "Default anchors"); mirrored where lower is
# better. In the median an account scores 7, because the median account stays.
RISING = ((2, 0), (10, 2), (25, 5), (50, 7), (90, 10))
FALLING = tuple((100 - percentile, score) for percentile, score in RISING)
REPORTED_PERCENTILES = (2, 10, 25, 50, 75, 90, 98)
MIN_TENURE_DAYS = 28  # younger accounts are still being set up
MIN_MONTHS = 6
MIN_DATES = 25  # Sundays in six months
MIN_ACCOUNTS = 30
MIN_DISTINCT_VALUES = 6  # flags and 1-5 scales: percentiles say nothing, a person decides
SIGNIFICANT_DIGITS = 3
# Lint: what a metric really weighs is its weight times the spread of its score.
LEAST_STANDARD_DEVIATION = 1.0
MOST_AT_AN_END = 0.25
LEAST_SHARE_KNOWN = 0.2

TENURE_BUCKETS = (0, 90, 365)
FEWEST_CHURNERS = 30
LEFT_OUT_REASONS = ("involuntary", "merged")
# A term that ran out may still be renewed for so long (customer_health__renewal_grace_days).
GRACE_DAYS = 14

RATE_DIGITS = 4

Floats = npt.NDArray[np.float64]
Points = Sequence[tuple[Decimal, Decimal]]


@dataclass(frozen=True)
class MetricAnchors:
    """What was found for one metric.

    `percentiles` maps 2, 10, … 98 to raw values. `points` are the anchors now in force, new ones
    if `is_written`, else the old ones. Shares (0-1) and the standard deviation (points of 0-10)
    are those of the reference values under `points`; None without values. `notes` say why a
    metric was left alone, `warnings` what deserves a look.
    """

    metric_key: str
    value_count: int
    account_count: int
    percentiles: Mapping[int, float]
    points: tuple[tuple[Decimal, Decimal], ...]
    is_written: bool
    share_at_0: float | None = None
    share_at_10: float | None = None
    standard_deviation: float | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnchorReport:
    """Result of `write_anchors`: the window as asked for, the dates found in it, the metrics.

    `values_version` is the version whose metric values were read, another one than
    `scoring_version` where that was not in force in the window.
    """

    scoring_version: str
    values_version: str
    window_from: date
    window_to: date
    first_date: date
    last_date: date
    date_count: int
    metrics: tuple[MetricAnchors, ...]


@dataclass(frozen=True)
class BaseRate:
    """One row of `churn_base_rates`.

    `account_count` counts account-months; with none of them the rate is that of all segments.
    """

    segment: str
    tenure_days_from: int
    account_count: int
    churner_count: int
    churn_rate: Decimal


@dataclass(frozen=True)
class BaseRateReport:
    """Result of `write_base_rates`: as_of dates used, account-months, churned accounts, rows."""

    scoring_version: str
    dates: tuple[date, ...]
    account_count: int
    churner_count: int
    rates: tuple[BaseRate, ...]
    warnings: tuple[str, ...] = ()


# ---- anchors ------------------------------------------------------------------------------------


def write_anchors(
    database: Path,
    seed_file: Path,
    *,
    scoring_version: str,
    window_from: date,
    window_to: date,
    metrics: Collection[str] | None = None,
    step_metrics: Collection[str] = (),
    force: bool = False,
) -> AnchorReport:
    """Replace the anchors of scorecard `*`, tenure 0, by percentiles of a reference window.

    Values come from the Sundays in [window_from, window_to): their metric rows are kept for
    ever, and one date a week weighs every part of the window alike. They are those of the
    version itself or, for a challenger, of the version in force on most of the Sundays (a metric
    means the same in both unless its window or its events were changed). The direction of a
    metric is that of its present anchors.

    Left alone, with a note: metrics whose anchors go up and down, that have few different values
    or few accounts, or all of whose percentiles are tied, and the churn probability unless it is
    named (a probability means something by itself). Sets of other scorecards and tenures are
    never touched.

    Args:
        database: candidate.duckdb, with the marts.
        seed_file: metric_anchors.csv; replaced as a whole or not at all.
        scoring_version: version whose rows are written.
        window_from: first date of the window.
        window_to: end of the window, itself outside; at least six months later.
        metrics: only these; None for all that have such a set.
        step_metrics: metrics with `interpolation` step, whose anchors are not a line.
        force: accept a window or data of less than six months.

    Returns:
        What was found and written, per metric in the order of the seed.

    Raises:
        HealthError: for a short window, too few dates, an unknown metric, a seed or a database
            that cannot be read. The seed is then as it was.
    """
    if not force and window_to < _months_after(window_from, MIN_MONTHS):
        raise HealthError(
            f"the reference window {window_from} to {window_to} is shorter than {MIN_MONTHS} "
            "months; choose a longer one, or accept it with --force"
        )
    seed = _sound_seed("metric_anchors", seed_file)
    sets = _default_sets(seed, scoring_version)
    chosen = _chosen(sets, metrics, scoring_version, seed.file)
    with _connected(database) as connection:
        values_version, dates = _reference_dates(
            connection, scoring_version, window_from, window_to
        )
        if not dates or (len(dates) < MIN_DATES and not force):
            found = f"{dates[0]} to {dates[-1]}" if dates else "none"
            raise HealthError(
                f"there are metric rows of {len(dates)} Sundays in the reference window ({found}), "
                f"{MIN_DATES} are needed; build the history of the window first"
                + (", or accept it with --force" if dates else "")
            )
        reference = _Reference.of(connection, values_version, window_from, window_to)
        results = [
            _judge(
                metric,
                sets[metric],
                reference,
                is_step=metric in step_metrics,
                is_named=metrics is not None,
            )
            for metric in chosen
        ]
    written = {result.metric_key: result.points for result in results if result.is_written}
    _write_anchor_rows(seed_file, scoring_version, written)
    return AnchorReport(
        scoring_version=scoring_version,
        values_version=values_version,
        window_from=window_from,
        window_to=window_to,
        first_date=dates[0],
        last_date=dates[-1],
        date_count=len(dates),
        metrics=tuple(results),
    )


def anchors_from_percentiles(
    percentiles: Mapping[int, float], *, is_rising: bool
) -> tuple[tuple[Decimal, Decimal], ...]:
    """Anchor points by ascending value; of tied percentiles the higher score is kept.

    Args:
        percentiles: percentile (2, 10, … 98) to raw value.
        is_rising: whether higher values are healthier.
    """
    best: dict[Decimal, int] = {}
    for percentile, score in RISING if is_rising else FALLING:
        value = _rounded(percentiles[percentile])
        best[value] = max(score, best.get(value, score))
    return tuple((value, Decimal(score)) for value, score in sorted(best.items()))


def score_values(
    values: Floats,
    points: Sequence[tuple[Decimal | float, Decimal | float]],
    *,
    is_step: bool = False,
) -> Floats:
    """Metric scores (0-10) of raw values: a line between the points, flat outside the ends."""
    places = np.array([float(value) for value, _ in points])
    scores = np.array([float(score) for _, score in points])
    if is_step:
        left = np.clip(np.searchsorted(places, values, side="right") - 1, 0, None)
        return np.asarray(scores[left], dtype=np.float64)
    return np.asarray(np.interp(values, places, scores), dtype=np.float64)


def _default_sets(seed: Seed, version: str) -> dict[str, tuple[tuple[Decimal, Decimal], ...]]:
    sets: dict[str, list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for row in seed.of_version(version):
        if _is_default_row(row.cells, version):
            value, score = row.number("value"), row.number("score")
            if value is not None and score is not None:
                sets[row.text("metric_key")].append((value, score))
    return {metric: tuple(sorted(points)) for metric, points in sets.items()}


def _is_default_row(cells: Mapping[str, str], version: str) -> bool:
    return (
        cells["scoring_version"] == version
        and cells["scorecard_key"] == ANY
        and int(cells["tenure_days_from"]) == 0
    )


def _chosen(
    sets: Mapping[str, Any], metrics: Collection[str] | None, version: str, file: str
) -> list[str]:
    if not sets:
        raise HealthError(
            f"{file}: there are no anchors of scorecard *, tenure 0, in version {version}; "
            "name another version or write a first set (it says which direction is healthy)"
        )
    for metric in metrics or ():
        if metric not in sets:
            near = ", ".join(nearest_first(metric, sets)[:5])
            raise HealthError(
                f"{file}: the metric {metric} has no anchors of scorecard *, tenure 0, in version "
                f"{version}; nearest: {near}"
            )
    return [metric for metric in sets if metrics is None or metric in metrics]


def _reference_dates(
    connection: duckdb.DuckDBPyConnection, version: str, window_from: date, window_to: date
) -> tuple[str, list[date]]:
    """The version to read and its Sundays in the window: `version`, else the most frequent."""
    rows = connection.execute(
        in_schemas(
            connection,
            """
            select distinct
                scoring_version,
                as_of_date
            from {marts}.fct_health__metric_scores
            where
                as_of_date >= $window_from
                and as_of_date < $window_to
                and dayofweek(as_of_date) = 0
            order by scoring_version, as_of_date
            """,
        ),
        {"window_from": window_from, "window_to": window_to},
    ).fetchall()
    dates: dict[str, list[date]] = defaultdict(list)
    for name, day in rows:
        dates[name].append(day)
    if len(dates[version]) >= MIN_DATES or not rows:
        return version, dates[version]
    chosen = max(dates, key=lambda name: (len(dates[name]), name == version, name))
    return chosen, dates[chosen]


# Known values, one per account and Sunday (a metric may stand in several scorecards).
_KNOWN_VALUES = """
    select
        metric_key,
        account_id,
        max(metric_value) as metric_value
    from {marts}.fct_health__metric_scores
    where
        scoring_version = $version
        and as_of_date >= $window_from
        and as_of_date < $window_to
        and dayofweek(as_of_date) = 0
        and tenure_days >= $min_tenure
        and value_state in ('observed', 'zero')
        and isfinite(metric_value)
    group by metric_key, account_id, as_of_date
"""


@dataclass(frozen=True)
class _Reference:
    """The values of the window: `account_counts` by metric, `most_values` of any metric."""

    connection: duckdb.DuckDBPyConnection
    account_counts: Mapping[str, int]
    most_values: int

    @classmethod
    def of(
        cls,
        connection: duckdb.DuckDBPyConnection,
        version: str,
        window_from: date,
        window_to: date,
    ) -> _Reference:
        """Read the window once; the values of a metric are then taken from memory."""
        connection.execute(
            in_schemas(
                connection, f"create or replace temporary table reference_values as {_KNOWN_VALUES}"
            ),
            {
                "version": version,
                "window_from": window_from,
                "window_to": window_to,
                "min_tenure": MIN_TENURE_DAYS,
            },
        )
        counts = connection.execute(
            """
            select
                metric_key,
                count(distinct account_id) as account_count,
                count(*) as value_count
            from reference_values
            group by metric_key
            """
        ).fetchall()
        return cls(
            connection,
            {metric: accounts for metric, accounts, _ in counts},
            max((values for _, _, values in counts), default=0),
        )

    def values(self, metric: str) -> Floats:
        """All known values of a metric."""
        query = "select metric_value from reference_values where metric_key = $metric"
        columns = self.connection.execute(query, {"metric": metric}).fetchnumpy()
        return np.asarray(columns["metric_value"], dtype=np.float64)


def _judge(
    metric: str,
    present: tuple[tuple[Decimal, Decimal], ...],
    reference: _Reference,
    *,
    is_step: bool,
    is_named: bool,
) -> MetricAnchors:
    values = reference.values(metric)
    account_count = reference.account_counts.get(metric, 0)
    percentiles = (
        {
            percentile: float(np.percentile(values, percentile))
            for percentile in REPORTED_PERCENTILES
        }
        if len(values)
        else {}
    )
    reason = _reason_to_leave(present, values, account_count, is_step=is_step)
    if metric == CHURN_PROBABILITY and not is_named:
        reason = "a probability means something by itself; name the metric to set it all the same"
    points = present
    if not reason:
        points = anchors_from_percentiles(percentiles, is_rising=_direction(present) > 0)
        if len(points) == 1:
            reason, points = "all percentiles are tied", present
    scores = score_values(values, points, is_step=is_step) if len(values) else None
    is_written = not reason
    return MetricAnchors(
        metric_key=metric,
        value_count=len(values),
        account_count=account_count,
        percentiles=percentiles,
        points=points,
        is_written=is_written,
        share_at_0=None if scores is None else float(np.mean(scores == 0)),
        share_at_10=None if scores is None else float(np.mean(scores == 10)),
        standard_deviation=None if scores is None else float(np.std(scores)),
        notes=(f"left alone: {reason}",) if reason else (),
        warnings=()
        if scores is None
        else tuple(_lint(scores, points, reference.most_values, is_new=is_written)),
    )


def _reason_to_leave(
    present: Points,
    values: Floats,
    account_count: int,
    *,
    is_step: bool,
) -> str:
    """Why the anchors of a metric stay as they are; empty if they do not."""
    if _direction(present) == 0:
        return "its anchors go up and down, or are flat; set them by hand"
    if is_step:
        return "its anchors are steps; set them by hand"
    if not len(values):
        return "no values in the window (is it weighted in a scorecard that accounts have?)"
    if account_count < MIN_ACCOUNTS:
        return f"values of {account_count} accounts only, {MIN_ACCOUNTS} are needed"
    distinct = len(np.unique(values))
    if distinct < MIN_DISTINCT_VALUES:
        return f"only {distinct} different values; set them by hand"
    return ""


def _direction(points: Points) -> int:
    """1: higher values score higher; -1: lower; 0: neither throughout."""
    steps = [high[1] - low[1] for low, high in pairwise(points)]
    if all(step >= 0 for step in steps) and any(steps):
        return 1
    return -1 if all(step <= 0 for step in steps) and any(steps) else 0


def _lint(scores: Floats, points: Points, most_values: int, *, is_new: bool) -> Iterator[str]:
    deviation = float(np.std(scores))
    if deviation < LEAST_STANDARD_DEVIATION:
        yield (
            f"the score hardly differs between accounts (standard deviation {deviation:.2f}); "
            "its weight does little"
        )
    for end in (0, 10):
        share = float(np.mean(scores == end))
        if share > MOST_AT_AN_END:
            yield f"{share:.0%} of the values score {end}"
    if is_new and len(scores) < LEAST_SHARE_KNOWN * most_values:
        yield (
            f"known for {len(scores):,} accounts and dates, other metrics for {most_values:,}: "
            "these anchors suit the few scorecards that weigh it"
        )
    if is_new and len(points) < len(RISING):
        yield f"tied percentiles leave {len(points)} of {len(RISING)} points"


def _write_anchor_rows(
    seed_file: Path,
    version: str,
    written: Mapping[str, Points],
) -> None:
    header, rows = _read_cells(seed_file)
    done: set[str] = set()
    kept: list[dict[str, str]] = []
    for cells in rows:
        metric = cells["metric_key"]
        if metric not in written or not _is_default_row(cells, version):
            kept.append(cells)
        elif metric not in done:
            done.add(metric)
            kept += [
                {**cells, "value": plain_number(value), "score": plain_number(score)}
                for value, score in written[metric]
            ]
    _write_cells(seed_file, header, kept)


def _rounded(value: float) -> Decimal:
    """Three significant digits: an anchor is a judgement, not a measurement."""
    rounded = Context(prec=SIGNIFICANT_DIGITS).create_decimal(repr(float(value)))
    return Decimal(plain_number(rounded))  # 12300, not 1.23E+4


def _months_after(start: date, months: int) -> date:
    """The same day so many months later, or the first of the next where there is none."""
    month = start.month - 1 + months
    year, month = start.year + month // 12, month % 12 + 1
    try:
        return date(year, month, start.day)
    except ValueError:
        return date(year + month // 12, month % 12 + 1, 1)


# ---- base rates ---------------------------------------------------------------------------------


def write_base_rates(
    database: Path,
    seed_file: Path,
    *,
    scoring_version: str,
    window_from: date,
    window_to: date,
    horizon_days: int = 90,
    grace_days: int = GRACE_DAYS,
) -> BaseRateReport:
    """Replace the churn base rates of a version by those observed in the past.

    An observation is an account on the first Sunday of a month in [window_from, window_to),
    churned if its churn date lies in [that day, that day + horizon_days). Left out: observations
    whose horizon (and the grace for late renewals) was not over on the last scored date, those
    that ended involuntarily or in a merger within the horizon, and accounts past their end.

    Args:
        database: candidate.duckdb, with the marts.
        seed_file: churn_base_rates.csv; replaced as a whole or not at all.
        scoring_version: version whose rows are written (the outcomes belong to none).
        window_from: first date of the window.
        window_to: end of the window, itself outside.
        horizon_days: days within which a churn counts.
        grace_days: days for which an ended term may still be renewed.

    Returns:
        The rates by segment (`*`: all) and tenure bucket (from 0, 90 and 365 days).

    Raises:
        HealthError: if no observation's horizon is over, or a seed or a database cannot be read.
            The seed is then as it was.
    """
    _sound_seed("churn_base_rates", seed_file)
    with _connected(database) as connection:
        last = _last_scored_date(connection)
        until = last - timedelta(days=horizon_days + grace_days)
        parameters = {
            "window_from": window_from,
            "window_to": min(window_to, until + timedelta(days=1)),
            "horizon_days": horizon_days,
        }
        observed, scored_dates, counted = (
            connection.execute(in_schemas(connection, query), parameters).fetchall()
            for query in (_OBSERVATION_COUNTS, _OBSERVATION_DATES, _CHURNER_COUNT)
        )
        dates, churners = [row[0] for row in scored_dates], counted[0][0]
    if not observed:
        raise HealthError(
            f"no first Sunday of a month from {window_from} to {window_to} has scored accounts "
            f"and lies {horizon_days} + {grace_days} days or more before {last}, the last scored "
            "date; choose an earlier window or build more history"
        )
    rates = tuple(_rates([(row[0], row[1], row[2], row[3]) for row in observed]))
    _write_rate_rows(seed_file, scoring_version, rates)
    warning = (
        f"not enough outcomes ({churners} churners, {FEWEST_CHURNERS} are needed): most rates "
        "are little more than the prior of churn_probability"
    )
    return BaseRateReport(
        scoring_version=scoring_version,
        dates=tuple(dates),
        account_count=sum(row[2] for row in observed),
        churner_count=churners,
        rates=rates,
        warnings=(warning,) if churners < FEWEST_CHURNERS else (),
    )


_OBSERVATIONS = f"""
    with

    observations as (
        select distinct
            scores.account_id,
            scores.as_of_date,
            scores.segment,
            scores.tenure_days,
            coalesce(
                accounts.churn_date < scores.as_of_date + cast($horizon_days as integer), false
            ) as is_churned,
            accounts.churn_reason
        from {{marts}}.fct_health__account_scores as scores
        inner join {{marts}}.dim_health__accounts as accounts
            on scores.account_id = accounts.account_id
        where
            scores.as_of_date >= $window_from
            and scores.as_of_date < $window_to
            and dayofweek(scores.as_of_date) = 0
            and day(scores.as_of_date) <= 7
            and scores.tenure_days >= 0
            and (accounts.churn_date is null or accounts.churn_date >= scores.as_of_date)
    ),

    counted as (
        select *
        from observations
        where not (is_churned and coalesce(churn_reason, '') in {LEFT_OUT_REASONS!r})
    )
"""
_OBSERVATION_COUNTS = f"""
    {_OBSERVATIONS}
    select
        coalesce(segment, '') as segment,
        case
            {" ".join(f"when tenure_days >= {days} then {days}" for days in TENURE_BUCKETS[::-1])}
        end as tenure_days_from,
        count(*) as account_count,
        count(*) filter (where is_churned) as churned_count
    from counted
    group by all
    order by all
"""
_OBSERVATION_DATES = f"""
    {_OBSERVATIONS}
    select distinct as_of_date
    from counted
    order by as_of_date
"""
_CHURNER_COUNT = f"""
    {_OBSERVATIONS}
    select count(distinct account_id)
    from counted
    where is_churned
"""


def _last_scored_date(connection: duckdb.DuckDBPyConnection) -> date:
    query = in_schemas(connection, "select max(as_of_date) from {marts}.fct_health__account_scores")
    last: date | None = connection.execute(query).fetchall()[0][0]
    if last is None:
        raise HealthError("there are no scores yet: run `customer-health run` first")
    return last


def _rates(observed: Sequence[tuple[str, int, int, int]]) -> Iterator[BaseRate]:
    """Rates of all accounts (`*`) and of each segment, by tenure bucket.

    A bucket that nobody was in takes the rate of all segments there, or of all accounts, with an
    account_count of 0: the scoring pulls it to the prior.
    """
    counts: dict[tuple[str, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for segment, tenure, accounts, churned in observed:
        for key in {(ANY, tenure), (segment, tenure)}:
            before = counts[key]
            counts[key] = (before[0] + accounts, before[1] + churned)
    everybody = (sum(row[2] for row in observed), sum(row[3] for row in observed))
    segments = sorted({row[0] for row in observed if row[0] not in ("", ANY)})
    for segment in (ANY, *segments):
        for tenure in TENURE_BUCKETS:
            accounts, churned = counts[segment, tenure]
            basis = next(
                pair for pair in ((accounts, churned), counts[ANY, tenure], everybody) if pair[0]
            )
            rate = round(Decimal(basis[1]) / Decimal(basis[0]), RATE_DIGITS)
            yield BaseRate(segment, tenure, accounts, churned, rate)


def _write_rate_rows(seed_file: Path, version: str, rates: Sequence[BaseRate]) -> None:
    header, rows = _read_cells(seed_file)
    places = [place for place, cells in enumerate(rows) if cells["scoring_version"] == version]
    kept = [cells for cells in rows if cells["scoring_version"] != version]
    place = places[0] if places else len(kept)
    kept[place:place] = [
        {
            "scoring_version": version,
            "segment": rate.segment,
            "tenure_days_from": str(rate.tenure_days_from),
            "churn_rate": plain_number(rate.churn_rate),
            "account_count": str(rate.account_count),
        }
        for rate in rates
    ]
    _write_cells(seed_file, header, kept)


# ---- files and database -------------------------------------------------------------------------


def _sound_seed(name: str, path: Path) -> Seed:
    """The seed, refused if anything in it is wrong: nothing is written over a broken file."""
    seed = read_seed(name, path)
    if seed.problems:
        raise HealthError(str(min(seed.problems)), lines=[str(one) for one in seed.problems])
    return seed


def _read_cells(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    text = path.read_text(encoding="utf-8-sig")
    header, *records = csv.reader(io.StringIO(text, newline=""))
    return header, [dict(zip(header, record, strict=True)) for record in records]


def _write_cells(path: Path, header: list[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Replace the seed, unless it is the same already."""
    before = path.read_bytes()
    line_end = "\r\n" if b"\r\n" in before else "\n"
    text = csv_text(header, [[cells[name] for name in header] for cells in rows], line_end)
    if text.encode() != before:
        replace_files({path: text.encode()})


@contextmanager
def _connected(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection; what DuckDB refuses becomes one line."""
    if not database.is_file():
        raise HealthError(f"there is no {database.name} yet: run `customer-health run` first")
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            yield connection
    except duckdb.CatalogException as error:
        raise HealthError(
            f"{database.name} lacks a table that is read here: run `customer-health run` first"
        ) from error
    except duckdb.Error as error:
        raise from_database_error(error) from error
