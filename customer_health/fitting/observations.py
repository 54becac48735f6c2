"""What is looked back on: metric scores of the past, and what followed.

One row per account and first Sunday of a month, from the marts val_health__observations and
fct_health__metric_scores of the readers' copy. The rule of what counts is that of
int_health__labelled_observations (docs/validation.md, 1): the window [as_of + lead, as_of + lead +
horizon) is over, the account was neither in notice nor gone before it, and an end that nobody
chose is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customer_health.anchors import score_values
from customer_health.errors import HealthError, UsageError
from customer_health.policy import ANY, CHURN_PROBABILITY, INTERCEPT, Row, read_seed
from customer_health.publication import in_schemas
from customer_health.validation.figures import as_reader
from customer_health.warehouses import Reader

TEST_SHARE = 3  # by default the last third of the months is kept to test on

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
# What defines the value of a metric; a metric that differs there cannot be scored from old values.
_DEFINITIONS = ("metrics", "event_metrics", "event_metric_events")
_DEFINING = ("source_key", "window_days", "absence", "stale_after_days", "due_after_tenure_days",
             "half_life_days", "prior_value", "prior_strength", "aggregation", "basis",
             "event_name")  # fmt: skip


@dataclass(frozen=True)
class Observations:
    """Account-months of one scorecard, n of them, with m metrics.

    Attributes:
        scorecard: its key.
        lead_days: days between the score and the window.
        horizon_days: length of the window.
        accounts: shape (n,), account ids.
        dates: shape (n,), datetime64[D].
        arr: shape (n,), ARR in the reporting currency.
        tenure_days: shape (n,).
        health_score: shape (n,), as published, nan without a score.
        churn_probability: shape (n,), as published, nan where there is none.
        outcomes: shape (n,), 1.0 where the account churned in the window.
        metrics: m keys.
        values: shape (n, m), nan where a metric was not known.
        scores: shape (n, m), 0 to 10 under the anchors of the version asked for; nan as `values`.
        versions: scoring versions whose rows were read.
        source: publication that was read, in words.
        notes: what a person should know about the rows.
    """

    scorecard: str
    lead_days: int
    horizon_days: int
    accounts: npt.NDArray[np.object_]
    dates: npt.NDArray[np.datetime64]
    arr: Floats
    tenure_days: Floats
    health_score: Floats
    churn_probability: Floats
    outcomes: Floats
    metrics: tuple[str, ...]
    values: Floats
    scores: Floats
    versions: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()

    def column(self, metric: str) -> Floats:
        """Scores of one metric, shape (n,)."""
        return self.scores[:, self.metrics.index(metric)]

    def where(self, rows: Flags) -> Observations:
        """Only these rows."""
        arrays = ("accounts", "dates", "arr", "tenure_days", "health_score", "churn_probability",
                  "outcomes", "values", "scores")  # fmt: skip
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})

    @property
    def churner_count(self) -> int:
        """Accounts that churned in some row's window."""
        return len(set(self.accounts[self.outcomes == 1]))

    @property
    def account_count(self) -> int:
        """Accounts seen."""
        return len(set(self.accounts))

    @property
    def stayer_count(self) -> int:
        """Accounts that churned in no row's window."""
        return self.account_count - self.churner_count

    @property
    def first_date(self) -> date | None:
        """First as_of date, None without rows."""
        return self.dates.min().item() if len(self.dates) else None

    @property
    def last_date(self) -> date | None:
        """Last as_of date, None without rows."""
        return self.dates.max().item() if len(self.dates) else None


@dataclass(frozen=True)
class Split:
    """Rows to fit on and rows to test on, apart in time.

    Fitted on: dates from `window_from` on whose window ended by `split`. Tested on: dates from
    `split` on, so that no outcome that was fitted lies after the first score that is tested.
    """

    window_from: date
    split: date
    train: Observations
    test: Observations


def split_by_time(
    observations: Observations, window_from: date | None, window_to: date | None
) -> Split:
    """Split by a date.

    Args:
        observations: all rows.
        window_from: first date to fit on; None: the first there is.
        window_to: date before which every window to fit on has ended; None keeps the last third
            of the months for the test.

    Raises:
        HealthError: when there is nothing to split.
        UsageError: when the dates leave nothing to fit on.
    """
    days = np.unique(observations.dates)
    if len(days) < TEST_SHARE:
        raise HealthError(
            f"{len(days)} months have scores whose {observations.lead_days} + "
            f"{observations.horizon_days} days are over, {TEST_SHARE} are needed: build more "
            "history, or choose a shorter --horizon"
        )
    first: date = window_from or days[0].item()
    split: date = window_to or days[-max(1, round(len(days) / TEST_SHARE))].item()
    window = timedelta(days=observations.lead_days + observations.horizon_days)
    dates = observations.dates
    train = (dates >= np.datetime64(first)) & (dates <= np.datetime64(split - window))
    if not train.any():
        raise UsageError(
            f"no score from {first} on has a window of {observations.lead_days} + "
            f"{observations.horizon_days} days that ends by {split}; choose an earlier --from, a "
            f"later --to or a shorter --horizon (scores from {days[0]} to {days[-1]} are followed "
            "far enough)"
        )
    return Split(
        window_from=first,
        split=split,
        train=observations.where(train),
        test=observations.where(dates >= np.datetime64(split)),
    )


# ---- reading ------------------------------------------------------------------------------------


def read_scorecards(reader: Reader) -> list[str]:
    """Health scorecards whose scores are followed by known days, that of most accounts first."""
    return [
        str(row[0])
        for row in reader.rows(
            """
            select scorecard_key
            from {marts}.val_health__observations
            where is_in_force
            group by scorecard_key
            order by count(distinct account_id) desc, scorecard_key
            """
        )
    ]


def choose_scorecard(marts: Any, scorecard: str | None) -> str:
    """The health scorecard of most accounts, or the one asked for.

    Args:
        marts: a reader, or a connection of `open_marts`.
        scorecard: None: that of most accounts.

    Raises:
        HealthError: when nobody was scored.
        UsageError: for a scorecard without scores.
    """
    known = read_scorecards(as_reader(marts))
    if not known:
        raise HealthError(
            "no score is followed by known days yet: run `customer-health run` with more history"
        )
    if scorecard is None:
        return known[0]
    if scorecard not in known:
        raise UsageError(
            f"--scorecard: there are no health scores of {scorecard!r}, only of {', '.join(known)}"
        )
    return scorecard


def read_observations(
    connection: Any,
    seed_files: Mapping[str, Path],
    version: str,
    *,
    scorecard: str,
    lead_days: int,
    horizon_days: int,
    source: str,
) -> Observations:
    """Read the account-months of a scorecard, scored under the anchors of `version`.

    The metric values are those of the version in force on each date. A metric that `version`
    defines otherwise (window, events, what absence means) is left out, with a note: its values
    were never kept.

    Args:
        connection: of the readers' copy or the candidate.
        seed_files: the seeds, with the rows of `version`.
        version: whose anchors turn values into scores.
        scorecard: only accounts that have it.
        lead_days: days between the score and the window.
        horizon_days: length of the window.
        source: what is read, in words.

    Raises:
        HealthError: when no window is over yet.
    """
    parameters = {"scorecard": scorecard, "lead": lead_days, "horizon": horizon_days}
    frame = connection.execute(in_schemas(connection, _OBSERVATIONS), parameters).fetchnumpy()
    count = len(frame["account_id"])
    if not count:
        raise HealthError(
            f"no score of {scorecard} is followed by {lead_days} + {horizon_days} known days: "
            "build more history, or choose a shorter --lead or --horizon"
        )
    cells = connection.execute(in_schemas(connection, _METRIC_VALUES), parameters).fetchnumpy()
    metrics = tuple(sorted(set(cells["metric_key"])))
    values = np.full((count, len(metrics)), np.nan)
    place = {metric: number for number, metric in enumerate(metrics)}
    values[
        np.asarray(cells["row_number"], dtype=np.int64) - 1,
        [place[metric] for metric in cells["metric_key"]],
    ] = _filled(cells["metric_value"])
    read = tuple(sorted(set(frame["scoring_version"])))
    weighted = {
        row.text("metric_key")
        for row in _rows(seed_files, "metric_weights", version)
        if row.text("scorecard_key") == scorecard
    }
    left_out = redefined(seed_files, version, read, set(metrics) & weighted)
    kept = [metric for metric in metrics if metric not in left_out and metric in weighted]
    values = values[:, [place[metric] for metric in kept]]
    tenure = _filled(frame["tenure_days"])
    scores = np.column_stack(
        [
            score_metric(seed_files, version, scorecard, metric, values[:, number], tenure)
            for number, metric in enumerate(kept)
        ]
        or [np.empty((count, 0))]
    )
    return Observations(
        scorecard=scorecard,
        lead_days=lead_days,
        horizon_days=horizon_days,
        accounts=np.asarray(frame["account_id"], dtype=object),
        dates=np.asarray(frame["as_of_date"]).astype("datetime64[D]"),
        arr=_filled(frame["arr_amount"]),
        tenure_days=tenure,
        health_score=_filled(frame["health_score"]),
        churn_probability=_filled(frame["churn_probability"]),
        outcomes=np.asarray(frame["is_churned"], dtype=np.float64),
        metrics=tuple(kept),
        values=values,
        scores=scores,
        versions=read,
        source=source,
        notes=tuple(
            f"{metric} is defined otherwise in {version} than in {', '.join(read)}, whose values "
            "are kept: it is left out"
            for metric in sorted(left_out)
        ),
    )


_LABELLED = """
    labelled as (
        select
            account_id,
            as_of_date,
            scoring_version,
            tenure_days,
            arr_amount,
            health_score,
            churn_probability,
            coalesce(days_to_churn < $lead + $horizon, false) as is_churned,
            row_number() over (order by as_of_date, account_id) as row_number
        from {marts}.val_health__observations
        where
            is_in_force
            and scorecard_key = $scorecard
            and follow_up_days >= $lead + $horizon
            and not is_in_notice
            and coalesce(days_to_churn >= $lead, true)
            and not coalesce(is_involuntary and days_to_churn < $lead + $horizon, false)
    )
"""
_OBSERVATIONS = f"with {_LABELLED} select * from labelled order by row_number"
_METRIC_VALUES = f"""
    with {_LABELLED}

    select
        labelled.row_number,
        metric_scores.metric_key,
        case
            when metric_scores.value_state in ('observed', 'zero')
                then metric_scores.metric_value
        end as metric_value
    from labelled
    inner join {{marts}}.fct_health__metric_scores as metric_scores
        on
            labelled.account_id = metric_scores.account_id
            and labelled.as_of_date = metric_scores.as_of_date
            and labelled.scoring_version = metric_scores.scoring_version
            and metric_scores.scorecard_key = $scorecard
"""


def _filled(values: Any) -> Floats:
    """Numbers of DuckDB as floats, nan for null."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


# ---- policy -------------------------------------------------------------------------------------


def _rows(seed_files: Mapping[str, Path], name: str, version: str) -> list[Row]:
    seed = read_seed(name, seed_files[name])
    if not seed.is_readable:
        raise HealthError(str(seed.problems[0]))
    return seed.of_version(version)


def redefined(
    seed_files: Mapping[str, Path], version: str, read: Sequence[str], metrics: set[str]
) -> set[str]:
    """Metrics whose values mean something else in `version` than in the versions read."""

    def definition(which: str) -> dict[str, set[tuple[str, ...]]]:
        found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for name in _DEFINITIONS:
            for row in _rows(seed_files, name, which):
                cells = tuple(row.cells.get(column, "") for column in _DEFINING)
                found[row.text("metric_key")].add((name, *cells))
        return found

    wanted = definition(version)
    others = [definition(other) for other in read if other != version]
    return {
        metric
        for metric in metrics - {CHURN_PROBABILITY}
        if any(metric in other and other[metric] != wanted[metric] for other in others)
    }


@dataclass(frozen=True)
class Anchors:
    """Anchor points of a metric, as far as a scorecard sees them.

    Attributes:
        sets: scorecard (or `*`) and least tenure in days, to points (value, score) by value.
        is_step: a value takes the score of the point on its left.
    """

    sets: Mapping[tuple[str, int], tuple[tuple[float, float], ...]]
    is_step: bool

    def scores(self, values: Floats, tenure_days: Floats) -> Floats:
        """Metric scores (0-10) of raw values, by the rule of int_health__anchor_segments.

        The scorecard's own anchors beat those of `*`; then the largest tenure reached.

        Args:
            values: shape (n,), nan where not known.
            tenure_days: shape (n,).
        """
        scores = np.full(len(values), np.nan)
        # the best set last: it overwrites those before it
        for card, tenure in sorted(self.sets, key=lambda key: (key[0] != ANY, key[1])):
            there = (tenure_days >= tenure) & ~np.isnan(values)
            line = self.sets[card, tenure]
            scores[there] = score_values(values[there], line, is_step=self.is_step)
        return scores


def read_anchors(
    seed_files: Mapping[str, Path], version: str, scorecard: str
) -> dict[str, Anchors]:
    """The anchors of every metric that has some for the scorecard or for `*`.

    Raises:
        HealthError: when a seed cannot be read.
    """
    points: dict[str, dict[tuple[str, int], list[tuple[float, float]]]] = {}
    for row in _rows(seed_files, "metric_anchors", version):
        card = row.text("scorecard_key")
        if card in (scorecard, ANY):
            sets = points.setdefault(row.text("metric_key"), {})
            key = (card, int(row.number("tenure_days_from") or 0))
            point = (float(row.number("value") or 0), float(row.number("score") or 0))
            sets.setdefault(key, []).append(point)
    steps = {
        row.text("metric_key")
        for row in _rows(seed_files, "metrics", version)
        if row.text("interpolation") == "step"
    }
    return {
        metric: Anchors({key: tuple(sorted(line)) for key, line in sets.items()}, metric in steps)
        for metric, sets in points.items()
    }


def score_metric(
    seed_files: Mapping[str, Path],
    version: str,
    scorecard: str,
    metric: str,
    values: Floats,
    tenure_days: Floats,
) -> Floats:
    """Metric scores (0-10) of raw values under the anchors of a version; nan without anchors.

    Args:
        seed_files: the seeds.
        version: whose anchors.
        scorecard: of the accounts.
        metric: its key.
        values: shape (n,), nan where not known.
        tenure_days: shape (n,).
    """
    anchors = read_anchors(seed_files, version, scorecard).get(metric)
    if anchors is None:
        return np.full(len(values), np.nan)
    return anchors.scores(values, tenure_days)


@dataclass(frozen=True)
class Feature:
    """A row of `churn_model` beside the intercept."""

    metric: str
    coefficient: float
    mean: float
    standard_deviation: float


@dataclass(frozen=True)
class Model:
    """Coefficients as they stand in the seed; scored as int_health__churn_probabilities does."""

    name: str
    intercept: float
    features: tuple[Feature, ...]

    def probabilities(self, metrics: Sequence[str], scores: Floats) -> Floats:
        """Probability of churn per row; a missing metric score counts as its training mean."""
        log_odds = np.full(len(scores), self.intercept)
        for feature in self.features:
            if feature.metric in metrics:
                column = scores[:, list(metrics).index(feature.metric)]
                distance = (column - feature.mean) / feature.standard_deviation
                log_odds = log_odds + feature.coefficient * np.nan_to_num(distance)
        return np.asarray(1 / (1 + np.exp(-log_odds)))


def read_model(seed_files: Mapping[str, Path], version: str) -> Model | None:
    """The fitted model that a version uses, None if it uses the base rates."""
    chosen = next(
        (row.text("churn_model_version") for row in _rows(seed_files, "scoring_versions", version)),
        "",
    )
    rows = [
        row
        for row in _rows(seed_files, "churn_model", version)
        if chosen and row.text("churn_model_version") == chosen
    ]
    intercept = [row for row in rows if row.text("feature") == INTERCEPT]
    if not intercept:
        return None
    return Model(
        name=chosen,
        intercept=float(intercept[0].number("coefficient") or 0),
        features=tuple(
            Feature(
                row.text("feature"),
                float(row.number("coefficient") or 0),
                float(row.number("mean") or 0),
                float(row.number("standard_deviation") or 1),
            )
            for row in rows
            if row.text("feature") != INTERCEPT
        ),
    )


def rescore_churn(
    observations: Observations, seed_files: Mapping[str, Path], version: str
) -> Observations:
    """The same rows with the probability, and its metric score, of the model of `version`.

    Without a fitted model in `version` the published probability stays.
    """
    model = read_model(seed_files, version)
    if CHURN_PROBABILITY not in observations.metrics or model is None:
        return observations
    place = observations.metrics.index(CHURN_PROBABILITY)
    probabilities = model.probabilities(observations.metrics, observations.scores)
    values, scores = observations.values.copy(), observations.scores.copy()
    values[:, place] = probabilities
    scores[:, place] = score_metric(
        seed_files,
        version,
        observations.scorecard,
        CHURN_PROBABILITY,
        probabilities,
        observations.tenure_days,
    )
    return replace(observations, values=values, scores=scores, churn_probability=probabilities)
