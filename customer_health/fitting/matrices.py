"""Metric scores of today and of past months as matrices, so that an idea is scored at once.

One row per account and date: of the newest date, and of the first Sundays of the months. They are
read date by date, as the marts are stored, and today's weights must give the published scores
again: then what other weights give is what a run would give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customer_health.errors import HealthError
from customer_health.fitting.observations import (
    Anchors,
    Flags,
    Floats,
    Model,
    read_anchors,
    read_model,
    redefined,
)
from customer_health.fitting.weights import (
    Weights,
    account_scores,
    read_weights,
    weighted_columns,
    weighted_mean,
)
from customer_health.policy import ANY, NO_SCORE_BAND, read_seed
from customer_health.warehouses import Reader

AGREEMENT = 1e-9
MOST_ROWS = 200_000
_FIXED = ("knockout", "override")
_HASH_SIZE = 16**8


@dataclass(frozen=True)
class Scoring:
    """What turns values into scores: a version of the policy, or an idea.

    Attributes:
        weights: of the scorecard.
        anchors: by metric.
        model: of the churn probability; None where it is no fitted one.
    """

    weights: Weights
    anchors: Mapping[str, Anchors]
    model: Model | None = None


@dataclass(frozen=True)
class Matrices:
    """Account-dates of one scorecard, n of them, with m metrics.

    Attributes:
        scorecard: its key.
        champion: version in force on the newest date.
        newest: newest date with scores.
        lead_days: days between a score and the window of outcomes.
        horizon_days: length of that window.
        today: the scoring of the champion.
        accounts: shape (n,), account ids.
        codes: shape (n,), a number for each account.
        names: account id to name, of the newest date.
        dates: shape (n,), datetime64[D].
        versions: shape (n,), version in force on the date.
        arr: shape (n,), ARR in the reporting currency.
        tenure_days: shape (n,).
        published: shape (n,), exact scores, nan without one.
        today_scores: shape (n,), the same, computed again; `published` to AGREEMENT.
        fixed_bands: shape (n,), the band where a knock-out or an override decided it, else None.
        outcomes: shape (n,), 1.0 churned in the window, 0.0 stayed, nan not to be counted.
        metrics: m keys.
        values: shape (n, m), nan where not known.
        scores: shape (n, m), 0 to 10 as published, nan where not known.
        is_applicable: shape (n, m), whether the metric counts for coverage.
        min_coverage: coverage below which there is no score.
        bands: key and lower bound of each band, the worst first.
        labels: metric to its label.
        units: metric to the unit of its values.
        redefined_in: metric to the earlier versions that defined its values otherwise.
        labelled_count: account-months with an outcome, of all accounts.
        sampled_accounts: accounts of the months that are read; None: all.
    """

    scorecard: str
    champion: str
    newest: date
    lead_days: int
    horizon_days: int
    today: Scoring
    accounts: npt.NDArray[np.object_]
    codes: npt.NDArray[np.int64]
    names: Mapping[str, str]
    dates: npt.NDArray[np.datetime64]
    versions: npt.NDArray[np.object_]
    arr: Floats
    tenure_days: Floats
    published: Floats
    today_scores: Floats
    fixed_bands: npt.NDArray[np.object_]
    outcomes: Floats
    metrics: tuple[str, ...]
    values: Floats
    scores: Floats
    is_applicable: Flags
    min_coverage: float
    bands: tuple[tuple[str, float], ...]
    labels: Mapping[str, str]
    units: Mapping[str, str]
    redefined_in: Mapping[str, frozenset[str]]
    labelled_count: int
    sampled_accounts: int | None

    @cached_property
    def is_newest(self) -> Flags:
        """Shape (n,): rows of the newest date."""
        return np.asarray(self.dates == np.datetime64(self.newest))

    @property
    def largest_gap(self) -> float:
        """Largest difference of a score computed again, in points."""
        gaps = np.abs(self.today_scores - self.published)
        return float(np.nanmax(gaps)) if np.isfinite(gaps).any() else 0.0

    def metric_scores(self, tried: Scoring) -> Floats:
        """Metric scores under other anchors, shape (n, m); those of untouched metrics as published.

        A fitted churn probability follows the metric scores that it is made of. Rows of a version
        that defined a metric otherwise keep their scores of it.
        """
        changed = [
            metric
            for metric in self.metrics
            if metric in tried.anchors and tried.anchors[metric] != self.today.anchors.get(metric)
        ]
        model = tried.model
        follows = model is not None and (
            model != self.today.model or any(each.metric in changed for each in model.features)
        )
        if not changed and not follows:
            return self.scores
        scores = self.scores.copy()
        for metric in changed:
            self._score(scores, metric, self.values[:, self.metrics.index(metric)], tried)
        if model is not None and follows and CHURN in self.metrics:
            probabilities = model.probabilities(self.metrics, scores)
            known = ~np.isnan(self.values[:, self.metrics.index(CHURN)])
            self._score(scores, CHURN, np.where(known, probabilities, np.nan), tried)
        return scores

    def _score(self, scores: Floats, metric: str, values: Floats, tried: Scoring) -> None:
        found = tried.anchors[metric].scores(values, self.tenure_days)
        there = ~np.isnan(values)
        for version in self.redefined_in.get(metric, ()):
            there &= self.versions != version
        scores[there, self.metrics.index(metric)] = found[there]

    def account_scores(self, tried: Scoring) -> Floats:
        """Exact scores (0-100) under another scoring, shape (n,); nan without one."""
        scores = self.metric_scores(tried)
        return exact_scores(
            tried.weights, self.metrics, scores, self.is_applicable, self.min_coverage
        )

    def band_places(self, whole_scores: Floats) -> npt.NDArray[np.int64]:
        """Places in `band_keys` of the bands on the newest date, shape (accounts,).

        Bands are those that the score alone gives, but for those that something else decided.

        Args:
            whole_scores: shape (n,), nan without one.
        """
        bounds = np.array([bound for _, bound in self.bands])
        scores = whole_scores[self.is_newest]
        places = np.searchsorted(bounds, np.where(np.isnan(scores), -1.0, scores), side="right") - 1
        places = np.where(places < 0, self.band_keys.index(NO_SCORE_BAND), places)
        return np.asarray(np.where(self.fixed_places < 0, places, self.fixed_places))

    @cached_property
    def fixed_places(self) -> npt.NDArray[np.int64]:
        """Places in `band_keys` of fixed bands on the newest date, -1 where the score decides."""
        places = {key: number for number, key in enumerate(self.band_keys)}
        return np.array([places.get(key, -1) for key in self.fixed_bands[self.is_newest]])

    @cached_property
    def band_keys(self) -> tuple[str, ...]:
        """Keys of the bands, the worst first, the one without a score after them."""
        fixed = sorted({key for key in self.fixed_bands if key is not None})
        return tuple(dict.fromkeys((*(key for key, _ in self.bands), NO_SCORE_BAND, *fixed)))


CHURN = "churn_probability"


def exact_scores(
    weights: Weights,
    metrics: Sequence[str],
    scores: Floats,
    is_applicable: Flags,
    min_coverage: float,
) -> Floats:
    """Scores of accounts (0-100); nan where nothing is known, or too little of what applies.

    Args:
        weights: of the scorecard.
        metrics: m keys.
        scores: shape (n, m), nan where not known.
        is_applicable: shape (n, m).
        min_coverage: least share of the effective weight that must be known.
    """
    known = ~np.isnan(scores)
    categories = weighted_columns(weights, metrics)
    coverage = np.full((len(scores), len(categories)), np.nan)
    for number, (places, inside) in enumerate(categories.values()):
        coverage[:, number] = weighted_mean(
            np.where(is_applicable[:, places], known[:, places], np.nan), inside
        )
    outside = np.array([weights.categories[category] for category in categories])
    covered = np.round(weighted_mean(coverage, outside), 10)
    return np.where(covered >= min_coverage, account_scores(weights, metrics, scores), np.nan)


# ---- reading ------------------------------------------------------------------------------------


def read_scoring(seed_files: Mapping[str, Path], version: str, scorecard: str) -> Scoring:
    """How a version of the seeds scores.

    Raises:
        HealthError: when a seed cannot be read, or the version does not weigh the scorecard.
    """
    return Scoring(
        read_weights(seed_files, version, scorecard),
        read_anchors(seed_files, version, scorecard),
        read_model(seed_files, version),
    )


def read_matrices(
    reader: Reader,
    seed_files: Mapping[str, Path],
    scorecard: str,
    *,
    lead_days: int,
    horizon_days: int,
    most_rows: int | None = None,
) -> Matrices:
    """Read the newest date and the past months of a scorecard.

    Args:
        reader: of what readers have, or of the candidate.
        seed_files: the seeds, with the version in force.
        scorecard: its key.
        lead_days: days between a score and the window of outcomes.
        horizon_days: length of that window.
        most_rows: account-months to look back on. Of more, accounts are drawn (by a hash of their
            id, so always the same ones) with all their months, and months without outcomes are
            left out. None: everything.

    Raises:
        HealthError: when nobody has a score, or today's weights do not give the published ones.
    """
    newest, champion = _newest(reader, scorecard)
    window = [lead_days + horizon_days, lead_days, lead_days + horizon_days]
    months = [
        (row[0], int(row[1]))
        for row in reader.rows(
            f"""
            select as_of_date, cast(sum({_IS_LABELLED}) as bigint) as labelled_count
            from {{marts}}.val_health__observations as observations
            where is_in_force and scorecard_key = ?
            group by as_of_date
            order by as_of_date
            """,
            [*window, scorecard],
        )
    ]
    labelled = sum(count for _, count in months)
    drawn = None
    if most_rows is not None and labelled > most_rows:
        drawn = f"{int(_HASH_SIZE * most_rows / labelled):08x}"
    if drawn is not None:
        months = [(day, count) for day, count in months if count]
    days = [day for day, _ in months if day != newest]
    dates = [(day, drawn) for day in days] + [(newest, None)]
    versions = _versions(reader, scorecard, [day for day, _ in dates])
    weights, metrics = _published_weights(reader, scorecard, versions)
    parts = [
        part
        for day, sample in dates
        if (part := _read_date(reader, scorecard, day, metrics, window, sample)) is not None
    ]

    def whole(name: str) -> Any:
        return np.concatenate([part[name] for part in parts])

    today = read_scoring(seed_files, champion, scorecard)
    rows = {name: whole(name) for name in parts[0]}
    for name in ("values", "scores", "is_applicable"):
        rows[name] = np.asfortranarray(rows[name])  # all arithmetic goes metric by metric
    min_coverage = _min_coverage(seed_files, champion, scorecard)
    again = np.full(len(rows["accounts"]), np.nan)
    for version in versions:
        there = rows["versions"] == version
        again[there] = exact_scores(
            today.weights if version == champion else weights[version],
            metrics,
            rows["scores"][there],
            rows["is_applicable"][there],
            min_coverage,
        )
    _check(rows["published"], again)
    earlier = [version for version in versions if version != champion]
    in_months = rows["dates"] != np.datetime64(newest)
    return Matrices(
        scorecard=scorecard,
        champion=champion,
        newest=newest,
        lead_days=lead_days,
        horizon_days=horizon_days,
        today=today,
        today_scores=again,
        codes=np.unique(rows["accounts"].astype(str), return_inverse=True)[1].astype(np.int64),
        names=_names(reader, scorecard, newest),
        metrics=metrics,
        min_coverage=min_coverage,
        bands=_bands(seed_files, champion, scorecard),
        labels=_described(seed_files, champion, "label"),
        units=_described(seed_files, champion, "unit"),
        redefined_in={
            metric: frozenset(
                version
                for version in earlier
                if redefined(seed_files, champion, [version], {metric})
            )
            for metric in metrics
        },
        labelled_count=labelled,
        sampled_accounts=None if drawn is None else len(set(rows["accounts"][in_months])),
        **rows,
    )


_IS_LABELLED = """
    case
        when
            observations.follow_up_days >= ?
            and not observations.is_in_notice
            and coalesce(observations.days_to_churn >= ?, true)
            and not coalesce(
                observations.is_involuntary and observations.days_to_churn < ?, false
            )
            then 1
        else 0
    end
"""


def _newest(reader: Reader, scorecard: str) -> tuple[date, str]:
    rows = reader.rows(
        """
        select as_of_date, scoring_version
        from {marts}.fct_health__account_scores
        where
            scorecard_key = ?
            and as_of_date = (
                select max(as_of_date) from {marts}.fct_health__account_scores
                where scorecard_key = ?
            )
        group by as_of_date, scoring_version
        order by count(*) desc, scoring_version
        limit 1
        """,
        [scorecard, scorecard],
    )
    if not rows:
        raise HealthError(f"nobody has a score of {scorecard}: run `customer-health run`")
    return rows[0][0], str(rows[0][1])


def _versions(reader: Reader, scorecard: str, days: Sequence[date]) -> dict[str, date]:
    """Version to the last of the days on which it was in force, in order of those days."""
    marks = ", ".join("?" for _ in days)
    return {
        str(version): day
        for version, day in reader.rows(
            f"""
            select scoring_version, max(as_of_date) as last_date
            from {{marts}}.fct_health__account_scores
            where scorecard_key = ? and as_of_date in ({marks})
            group by scoring_version
            order by last_date, scoring_version
            """,
            [scorecard, *days],
        )
    }


def _published_weights(
    reader: Reader, scorecard: str, versions: Mapping[str, date]
) -> tuple[dict[str, Weights], tuple[str, ...]]:
    """The weights that stand beside the metric scores of each version, and all its metrics."""
    found: dict[str, Weights] = {}
    for version, day in versions.items():
        rows = reader.rows(
            """
            select
                metric_key,
                max(category_key) as category_key,
                max(category_weight) as category_weight,
                max(metric_weight) as metric_weight
            from {marts}.fct_health__metric_scores
            where as_of_date = ? and scorecard_key = ? and scoring_version = ?
            group by metric_key
            order by metric_key
            """,
            [day, scorecard, version],
        )
        found[version] = Weights(
            {row[1]: float(row[2]) for row in rows},
            {row[0]: float(row[3]) for row in rows},
            {row[0]: row[1] for row in rows},
        )
    return found, tuple(sorted({metric for each in found.values() for metric in each.metrics}))


def _read_date(
    reader: Reader,
    scorecard: str,
    day: date,
    metrics: Sequence[str],
    window: Sequence[int],
    sample: str | None,
) -> dict[str, Any] | None:
    """Rows of one date by account; None where nobody has metric scores.

    Args:
        reader: of the marts.
        scorecard: its key.
        day: the date.
        metrics: m keys.
        window: values of _IS_LABELLED.
        sample: accounts whose hash is smaller are read; None: all.
    """
    drawn = "" if sample is None else "and substr(md5(scores.account_id), 1, 8) < ?"
    chosen = [day, scorecard, *([] if sample is None else [sample])]
    rows = reader.arrays(
        f"""
        select
            scores.account_id,
            scores.scoring_version,
            scores.tenure_days,
            coalesce(observations.arr_amount, scores.arr_amount, 0) as arr_amount,
            scores.health_score_exact,
            case when scores.band_reason in {_FIXED} then scores.band end as fixed_band,
            case
                when {_IS_LABELLED} = 1
                    then case
                        when coalesce(observations.days_to_churn < ?, false) then 1
                        else 0
                    end
            end as outcome
        from {{marts}}.fct_health__account_scores as scores
        left join {{marts}}.val_health__observations as observations
            on
                scores.account_id = observations.account_id
                and scores.as_of_date = observations.as_of_date
                and observations.is_in_force
        where scores.as_of_date = ? and scores.scorecard_key = ? {drawn}
        order by scores.account_id
        """,
        [*window, window[0], *chosen],
    )
    numbered = " ".join(f"when ? then {number}" for number, _ in enumerate(metrics))
    cells = reader.arrays(
        f"""
        with

        numbered as (
            select
                scores.account_id,
                row_number() over (order by scores.account_id) - 1 as place
            from {{marts}}.fct_health__account_scores as scores
            where scores.as_of_date = ? and scores.scorecard_key = ? {drawn}
        )

        select
            numbered.place,
            case metric_scores.metric_key {numbered} end as metric,
            case when metric_scores.value_state in ('observed', 'zero') then 1 else 0 end
                as is_known,
            case when metric_scores.value_state in ('observed', 'zero', 'unknown') then 1 else 0 end
                as is_applicable,
            metric_scores.metric_value,
            metric_scores.metric_score
        from {{marts}}.fct_health__metric_scores as metric_scores
        inner join numbered
            on metric_scores.account_id = numbered.account_id
        where metric_scores.as_of_date = ? and metric_scores.scorecard_key = ?
        """,
        [*chosen, *metrics, day, scorecard],
    )
    count = len(rows["account_id"])
    if not len(cells["place"]):
        return None
    at = (cells["place"].astype(np.int64), cells["metric"].astype(np.int64))
    is_known = cells["is_known"] == 1
    values, scores = (np.full((count, len(metrics)), np.nan) for _ in range(2))
    values[at] = np.where(is_known, _floats(cells["metric_value"]), np.nan)
    scores[at] = np.where(is_known, _floats(cells["metric_score"]), np.nan)
    is_applicable = np.zeros((count, len(metrics)), dtype=np.bool_)
    is_applicable[at] = cells["is_applicable"] == 1
    # accounts without rows of metrics cannot be scored again
    there = np.zeros(count, dtype=np.bool_)
    there[at[0]] = True
    return {
        "accounts": np.asarray(rows["account_id"], dtype=object)[there],
        "versions": np.asarray(rows["scoring_version"], dtype=object)[there],
        "dates": np.full(int(there.sum()), np.datetime64(day)),
        "tenure_days": _floats(rows["tenure_days"])[there],
        "arr": _floats(rows["arr_amount"])[there],
        "published": _floats(rows["health_score_exact"])[there],
        "fixed_bands": _texts(rows["fixed_band"])[there],
        "outcomes": _floats(rows["outcome"])[there],
        "values": values[there],
        "scores": scores[there],
        "is_applicable": is_applicable[there],
    }


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _texts(values: Any) -> npt.NDArray[np.object_]:
    """Texts and None, also where the column was empty and came as numbers."""
    found = np.asarray(values, dtype=object)
    return np.array([each if isinstance(each, str) else None for each in found], dtype=object)


def _check(published: Floats, again: Floats) -> None:
    """Do today's weights give the published scores?

    Raises:
        HealthError: if not: then nothing that is said would be true.
    """
    lost = int(np.sum(np.isnan(published) != np.isnan(again)))
    gaps = np.abs(published - again)
    gap = float(np.nanmax(gaps)) if np.isfinite(gaps).any() else 0.0
    if lost or gap > AGREEMENT:
        raise HealthError(
            f"today's weights do not give the published scores (largest difference {gap:.3g} "
            f"points, {lost} of {len(again)} known on one side only): the readers' copy and the "
            "seeds do not belong together; run `customer-health run`"
        )


def _names(reader: Reader, scorecard: str, newest: date) -> dict[str, str]:
    return {
        str(account): str(name)
        for account, name in reader.rows(
            """
            select scores.account_id, accounts.account_name
            from {marts}.fct_health__account_scores as scores
            inner join {marts}.bi_health__account_360 as accounts
                on scores.account_id = accounts.account_id
            where
                scores.as_of_date = ?
                and scores.scorecard_key = ?
                and accounts.account_name is not null
            """,
            [newest, scorecard],
        )
    }


# ---- policy -------------------------------------------------------------------------------------


def _min_coverage(seed_files: Mapping[str, Path], version: str, scorecard: str) -> float:
    least = [
        row.number("min_coverage")
        for row in read_seed("scorecards", seed_files["scorecards"]).of_version(version)
        if row.text("scorecard_key") == scorecard
    ]
    return float(least[0] or 0) if least else 0.0


def _bands(
    seed_files: Mapping[str, Path], version: str, scorecard: str
) -> tuple[tuple[str, float], ...]:
    """Bands of the scorecard, else of `*`: key and lower bound, the worst first."""
    rows = read_seed("bands", seed_files["bands"]).of_version(version)
    own = [row for row in rows if row.text("scorecard_key") == scorecard]
    ranked = sorted(
        own or [row for row in rows if row.text("scorecard_key") == ANY],
        key=lambda row: row.number("band_rank") or 0,
    )
    return tuple((row.text("band_key"), float(row.number("lower_bound") or 0)) for row in ranked)


def _described(seed_files: Mapping[str, Path], version: str, column: str) -> dict[str, str]:
    """Metric to a cell of the seed `metrics`."""
    return {
        row.text("metric_key"): row.text(column)
        for row in read_seed("metrics", seed_files["metrics"]).of_version(version)
    }
