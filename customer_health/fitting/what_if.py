"""`customer-health what-if`: an unsaved idea for weights and anchors, scored on what was published.

The published metric scores of the newest date, and of the first Sundays of the months whose
outcomes are known, are read into matrices (`matrices.py`) and scored with the idea. Nothing is
written. With today's weights they give today's scores, and that is checked on every call.

Bands are those of the score alone: hysteresis is left out, on both sides. An account in a band by a
knock-out or an override stays there.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health import policy, statistics
from customer_health.errors import HealthError, UsageError
from customer_health.explain import printable
from customer_health.fitting.matrices import (
    Matrices,
    Scoring,
    read_matrices,
    read_scoring,
)
from customer_health.fitting.observations import Anchors, Floats, choose_scorecard, redefined
from customer_health.fitting.weights import Weights, as_read
from customer_health.policy import ANY, NO_SCORE_BAND, nearest_first, plain_number, read_seed
from customer_health.settings import Settings
from customer_health.validation import figures

SHOWN_ACCOUNTS = 15
SUM_TOLERANCE = 1e-6
REPEATS = 200
SEED = 20260630
MOST_SCORE = 10
_LEVELS = 101  # whole scores from 0 to 100
_CHUNK = 20  # samples of accounts counted at a time
_WEIGHT_COLUMNS = ("scoring_version", "scorecard_key", "category_key", "metric_key", "weight")
_ANCHOR_COLUMNS = (
    "scoring_version",
    "scorecard_key",
    "metric_key",
    "tenure_days_from",
    "value",
    "score",
)


@dataclass(frozen=True)
class Given:
    """A weight of a file or an option, and where it stands, for messages."""

    where: str
    kind: str
    key: str
    weight: float


@dataclass(frozen=True)
class GivenAnchor:
    """An anchor point of a file, and where it stands, for messages.

    Attributes:
        where: file and row.
        metric: its key.
        scorecard: its key or `*`; empty: whose anchors are in force for the scorecard.
        tenure: least tenure in days.
        value: raw value.
        score: 0 to 10.
    """

    where: str
    metric: str
    scorecard: str
    tenure: int
    value: float
    score: float


@dataclass(frozen=True)
class Move:
    """Accounts that go from one band to another, with their ARR."""

    today: str
    tried: str
    account_count: int
    arr_amount: float


@dataclass(frozen=True)
class Moved:
    """An account whose band changes."""

    account_id: str
    account_name: str
    arr_amount: float
    score_today: float | None
    score_tried: float | None
    band_today: str
    band_tried: str


@dataclass(frozen=True)
class Month:
    """Means over the scored accounts of a first Sunday."""

    as_of_date: date
    account_count: int
    mean_today: float
    mean_tried: float


@dataclass(frozen=True)
class WhatIf:
    """What the idea would do."""

    scorecard: str
    champion: str
    today: Scoring
    tried: Scoring
    newest: date
    account_count: int
    mean_today: float
    mean_tried: float
    bands: tuple[str, ...]
    moves: tuple[Move, ...]
    moved: tuple[Moved, ...]
    fixed_count: int
    lead_days: int
    horizon_days: int
    first_month: date | None
    last_month: date | None
    row_count: int
    churner_count: int
    fewest_churners: int
    capacity_share: float
    compared: Mapping[str, statistics.PairedDifference]
    history: tuple[Month, ...]
    checked_count: int
    largest_gap: float
    notes: tuple[str, ...]

    @property
    def changed_anchors(self) -> dict[str, Anchors]:
        """Weighed metrics whose anchors are not today's, with those tried."""
        return {
            metric: anchors
            for metric, anchors in self.tried.anchors.items()
            if metric in self.tried.weights.metrics and anchors != self.today.anchors.get(metric)
        }

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "result": "ok",
            "scorecard_key": self.scorecard,
            "champion_version": self.champion,
            "as_of_date": self.newest,
            "weights": [
                {
                    "kind": kind,
                    "key": key,
                    "today": today.get(key, 0.0),
                    "tried": weight,
                }
                for kind, today, tried in (
                    ("category", self.today.weights.categories, self.tried.weights.categories),
                    ("metric", self.today.weights.metrics, self.tried.weights.metrics),
                )
                for key, weight in tried.items()
            ],
            "anchors": [
                {
                    "metric_key": metric,
                    "scorecard_key": card,
                    "tenure_days_from": tenure,
                    "value": value,
                    "score": score,
                }
                for metric, anchors in self.changed_anchors.items()
                for (card, tenure), points in sorted(anchors.sets.items())
                for value, score in points
            ],
            "account_count": self.account_count,
            "mean_score_today": self.mean_today,
            "mean_score_tried": self.mean_tried,
            "migrations": [vars(move) for move in self.moves],
            "moved_accounts": [vars(each) for each in self.moved],
            "lead_days": self.lead_days,
            "horizon_days": self.horizon_days,
            "churner_count": self.churner_count,
            "observation_count": self.row_count,
            "compared": {
                name: {
                    "today": each.figure_a,
                    "tried": each.figure_b,
                    "difference": each.difference,
                    "low": each.low,
                    "high": each.high,
                    "verdict": each.verdict,
                }
                for name, each in self.compared.items()
            },
            "history": [vars(month) for month in self.history],
            "checked_scores": self.checked_count,
            "largest_gap": self.largest_gap,
            "notes": list(self.notes),
        }


# ---- the idea -----------------------------------------------------------------------------------


def read_weight_file(path: Path, scorecard: str) -> list[Given]:
    """Weights of a CSV file: rows of category_weights and metric_weights, or just key and weight.

    Columns: `weight` and `category_key` or `metric_key` (or both, one filled per row);
    `scoring_version` and `scorecard_key` may be there, as in a seed. Rows of other scorecards are
    skipped.

    Raises:
        HealthError: naming file, row and column.
    """
    header, rows = _file_rows(path, "--weights")
    unknown = [name for name in header if name not in _WEIGHT_COLUMNS]
    if unknown or "weight" not in header or not {"category_key", "metric_key"} & set(header):
        raise HealthError(
            f"{_header_fault(path, header, unknown)}; write category_key or metric_key, and weight "
            "(scoring_version and scorecard_key may stand there too)"
        )
    found: list[Given] = []
    versions: set[str] = set()
    for where, cells in rows:
        if cells.get("scorecard_key", scorecard) not in ("", scorecard):
            continue
        versions.add(cells.get("scoring_version", ""))
        keys = [
            (kind, cells[f"{kind}_key"])
            for kind in ("category", "metric")
            if cells.get(f"{kind}_key")
        ]
        if len(keys) != 1:
            raise HealthError(f"{where}: fill in either category_key or metric_key")
        found.append(Given(where, *keys[0], _weight(cells["weight"], f"{where}, weight")))
    _refuse_versions(path, versions)
    if not found:
        raise HealthError(f"{path.name}: no row for scorecard {scorecard}")
    return found


def read_anchor_file(path: Path, scorecard: str) -> list[GivenAnchor]:
    """Anchor points of a CSV file: rows of metric_anchors, or just metric_key, value and score.

    `scoring_version`, `scorecard_key` and `tenure_days_from` may be there, as in the seed. Rows of
    other scorecards are skipped; without a scorecard they are for the anchors in force.

    Raises:
        HealthError: naming file, row and column.
    """
    header, rows = _file_rows(path, "--anchors")
    unknown = [name for name in header if name not in _ANCHOR_COLUMNS]
    if unknown or not {"metric_key", "value", "score"} <= set(header):
        raise HealthError(
            f"{_header_fault(path, header, unknown)}; write metric_key, value and score "
            "(scoring_version, scorecard_key and tenure_days_from may stand there too)"
        )
    found: list[GivenAnchor] = []
    versions: set[str] = set()
    for where, cells in rows:
        card = cells.get("scorecard_key", "")
        if card not in ("", ANY, scorecard):
            continue
        versions.add(cells.get("scoring_version", ""))
        if not cells["metric_key"]:
            raise HealthError(f"{where}, metric_key: the cell is blank; write the key of a metric")
        score = _number(cells["score"], f"{where}, score", "a score from 0 to 10, like 7")
        if not 0 <= score <= MOST_SCORE:
            raise HealthError(
                f"{where}, score: {cells['score']!r} is no score; write a number from 0 to 10"
            )
        days = cells.get("tenure_days_from", "") or "0"
        if not (days.isascii() and days.isdigit()):
            raise HealthError(
                f"{where}, tenure_days_from: {days!r} is no number of days; write 0, or a whole "
                "number of days"
            )
        value = _number(cells["value"], f"{where}, value", "a number, like 0.25")
        found.append(GivenAnchor(where, cells["metric_key"], card, int(days), value, score))
    _refuse_versions(path, versions)
    if not found:
        raise HealthError(f"{path.name}: no row for scorecard {scorecard}")
    return found


def _file_rows(path: Path, option: str) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """The header of a CSV file, and its rows as file and row number with the cells."""
    if not path.is_file():
        raise HealthError(f"{option}: there is no file {path}")
    try:
        records = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except UnicodeDecodeError as error:
        raise HealthError(f"{path.name}: is not UTF-8; save it as CSV UTF-8") from error
    header = [cell.strip() for cell in records[0]] if records else []
    rows = []
    for number, record in enumerate(records[1:], 2):
        if not any(cell.strip() for cell in record):
            continue
        if len(record) != len(header):
            raise HealthError(
                f"{path.name}, row {number}: {len(record)} cells, the header has {len(header)}"
            )
        cells = dict(zip(header, (cell.strip() for cell in record), strict=True))
        rows.append((f"{path.name}, row {number}", cells))
    return header, rows


def _header_fault(path: Path, header: Sequence[str], unknown: Sequence[str]) -> str:
    what = f"there is a column {unknown[0]!r}" if unknown else f"the header is {list(header)}"
    return f"{path.name}, row 1: {what}"


def _refuse_versions(path: Path, versions: set[str]) -> None:
    if len(versions) > 1:
        raise HealthError(
            f"{path.name}: rows of several versions ({', '.join(sorted(versions))}); keep one"
        )


def _number(text: str, where: str, example: str) -> float:
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise HealthError(f"{where}: {text!r} is no number; write {example}")
    return number


def read_settings(texts: Sequence[str], today: Weights) -> list[Given]:
    """Weights of `--set key=weight`; a key is a category or a metric.

    Raises:
        UsageError: for another form.
    """
    found = []
    for text in texts:
        key, sign, number = text.partition("=")
        if not sign or not key.strip():
            raise UsageError(
                f"--set: {text!r} is not of the form category=weight, like support=0.3"
            )
        key = key.strip()
        kind = "metric" if key in today.metrics and key not in today.categories else "category"
        found.append(Given("--set", kind, key, _weight(number.strip(), f"--set {key}")))
    return found


def _weight(text: str, where: str) -> float:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and 0 <= number <= 1):
        raise HealthError(f"{where}: {text!r} is no weight; write a number from 0 to 1, like 0.25")
    return float(number)


def apply(today: Weights, given: Sequence[Given], base: Weights | None = None) -> Weights:
    """Weights with the given ones set; those not named share what is left, in their proportions.

    Args:
        today: weights of the version in force; only its metrics have published rows.
        given: weights to set.
        base: weights to start from; None: today's.

    Raises:
        HealthError: for an unknown name, a name given twice, or weights that do not sum to 1.
    """
    start = base or today
    categories = _scaled(
        start.categories,
        [each for each in given if each.kind == "category"],
        "category",
        "the category weights",
    )
    metrics = dict(start.metrics)
    named = [each for each in given if each.kind == "metric"]
    for each in named:
        if each.key not in metrics:
            raise HealthError(_unknown(each, metrics))
    for category in dict.fromkeys(start.category_of[each.key] for each in named):
        members = {metric: start.metrics[metric] for metric in start.members(category)}
        metrics.update(
            _scaled(
                members,
                [each for each in named if each.key in members],
                "metric",
                f"the metric weights of {category}",
            )
        )
    tried = Weights(categories, metrics, start.category_of)
    for metric in tried.metrics:
        if tried.effective(metric) > 0 and not today.metrics.get(metric):
            raise HealthError(
                f"{metric} has no weight in the version in force, so its scores are not kept: a "
                "challenger with that weight has to be scored (customer-health policy new-version)"
            )
    return tried


def _scaled(
    before: Mapping[str, float], given: Sequence[Given], word: str, what: str
) -> dict[str, float]:
    fixed: dict[str, float] = {}
    for each in given:
        if each.key not in before:
            raise HealthError(_unknown(each, before))
        if each.key in fixed:
            raise HealthError(f"{each.where}: the {word} {each.key} is given twice; keep one")
        fixed[each.key] = each.weight
    total = sum(fixed.values())
    others = sum(weight for key, weight in before.items() if key not in fixed)
    if fixed and (total > 1 + SUM_TOLERANCE or (others <= 0 and abs(total - 1) > SUM_TOLERANCE)):
        gap = plain_number(Decimal(repr(round(abs(1 - total), 6))))
        fix = f"take {gap} away" if total > 1 else f"add {gap}"
        raise HealthError(f"{given[0].where}: {what} sum to {total:.6g}, not 1; {fix}")
    factor = (1 - total) / others if fixed and others > 0 else 1.0
    return {key: fixed.get(key, max(weight * factor, 0.0)) for key, weight in before.items()}


def _unknown(each: Given, known: Mapping[str, float]) -> str:
    near = ", ".join(nearest_first(each.key, known)[:5])
    return f"{each.where}: the scorecard has no {each.kind} {each.key}; nearest: {near}"


def apply_anchors(
    today: Mapping[str, Anchors], given: Sequence[GivenAnchor], weighed: Mapping[str, float]
) -> dict[str, Anchors]:
    """Anchors with the given sets in the place of theirs; sets that are not named stay.

    A set is the points of a metric, scorecard and tenure; it is given whole. Metrics that the
    scorecard does not weigh are left out.

    Args:
        today: anchors to start from.
        given: points of the new sets.
        weighed: metrics of the scorecard.

    Raises:
        HealthError: for an unknown metric, a value given twice, a set of one point, or a scorecard
            without a set for tenure 0.
    """
    sets: dict[str, dict[tuple[str, int], dict[float, float]]] = {}
    places: dict[tuple[str, str, int], str] = {}
    for each in given:
        if each.metric not in weighed and each.metric in today:
            continue  # of another scorecard
        if each.metric not in weighed:
            near = ", ".join(nearest_first(each.metric, weighed)[:5])
            raise HealthError(
                f"{each.where}, metric_key: the scorecard does not weigh {each.metric}; nearest: "
                f"{near}"
            )
        known = today[each.metric].sets if each.metric in today else {}
        own = [card for card, _ in known if card != ANY]
        card = each.scorecard or (own[0] if own else ANY)
        points = sets.setdefault(each.metric, {}).setdefault((card, each.tenure), {})
        if each.value in points:
            raise HealthError(
                f"{each.where}, value: {each.metric} has two points at the value {each.value:g}; "
                "keep one"
            )
        points[each.value] = each.score
        places.setdefault((each.metric, card, each.tenure), each.where)
    if given and not sets:
        raise HealthError(
            f"{given[0].where}: the scorecard weighs none of these metrics; it weighs "
            f"{', '.join(weighed)}"
        )
    found = dict(today)
    for metric, given_sets in sets.items():
        before = today.get(metric, Anchors({}, is_step=False))
        merged = dict(before.sets)
        for key, points in given_sets.items():
            if len(points) == 1:
                raise HealthError(
                    f"{places[metric, *key]}: the anchor set of {metric} has one point; write two "
                    "or more (the same score twice for a constant)"
                )
            merged[key] = tuple(sorted(points.items()))
        for card, tenure in given_sets:
            if (card, 0) not in merged:
                raise HealthError(
                    f"{places[metric, card, tenure]}, tenure_days_from: there is no anchor set of "
                    f"{metric} for scorecard {card} and tenure 0; new accounts need one"
                )
        found[metric] = replace(before, sets=merged)
    return found


# ---- the scores ---------------------------------------------------------------------------------


def what_if(
    settings: Settings,
    *,
    weights_file: Path | None = None,
    anchors_file: Path | None = None,
    sets: Sequence[str] = (),
    version: str | None = None,
    scorecard: str | None = None,
    lead_days: int | None = None,
    horizon_days: int | None = None,
    candidate: bool = False,
) -> WhatIf:
    """Score the readers' copy with other weights or anchors and say what would be different.

    Args:
        settings: project and home folder.
        weights_file: CSV of `read_weight_file`.
        anchors_file: CSV of `read_anchor_file`.
        sets: texts of `read_settings`; they win over the file's version.
        version: start from the weights, anchors and churn model of this version of the seeds;
            None: the one in force.
        scorecard: health scorecard; None: that of most accounts.
        lead_days: days between a score and the window; None: of the headline window.
        horizon_days: length of the window in which a churn counts; None: likewise.
        candidate: read the candidate instead of the readers' copy.

    Raises:
        UsageError: without any idea, or for unknown options.
        HealthError: for a file or weights that cannot be, or when the published scores cannot be
            reproduced.
    """
    if weights_file is None and anchors_file is None and not sets and version is None:
        raise UsageError(
            "say what to try: --weights FILE, --set category=weight, --anchors FILE, or "
            "--version NAME"
        )
    seed_files = policy.find_seed_files(settings.project_dir)
    limits = figures.read_limits(settings)
    lead, horizon = headline_window(seed_files)
    with figures.open_marts(settings, candidate=candidate) as connection:
        reader = figures.as_reader(connection)
        card = choose_scorecard(reader, scorecard)
        rows = read_matrices(
            reader,
            seed_files,
            card,
            lead_days=lead if lead_days is None else lead_days,
            horizon_days=horizon if horizon_days is None else horizon_days,
        )
    today = rows.today
    base = None if version is None else read_scoring(seed_files, version, card)
    given = [] if weights_file is None else read_weight_file(weights_file, card)
    given += read_settings(sets, (base or today).weights)
    weights = apply(today.weights, given, base.weights if base else None)
    points = [] if anchors_file is None else read_anchor_file(anchors_file, card)
    start = base or today
    anchors = apply_anchors(start.anchors, points, weights.metrics)
    notes: list[str] = []
    if version is not None:
        for metric in sorted(redefined(seed_files, version, [rows.champion], set(rows.metrics))):
            anchors[metric] = today.anchors[metric]
            notes.append(
                f"{metric} is defined otherwise in {version}; its values were not kept, so its "
                "scores are today's"
            )
    return evaluate(rows, Scoring(weights, anchors, start.model), limits, notes)


def evaluate(
    rows: Matrices, tried: Scoring, limits: Mapping[str, float], notes: Sequence[str] = ()
) -> WhatIf:
    """What other weights and anchors would do.

    Args:
        rows: of `read_matrices`.
        tried: of `apply` and `apply_anchors`.
        limits: of `figures.read_limits`.
        notes: what a person should know beside what is always said.
    """
    before = as_read(rows.today_scores)
    after = as_read(rows.account_scores(tried))
    now = rows.is_newest
    keys = rows.band_keys
    places_before, places_after = rows.band_places(before), rows.band_places(after)
    arr = rows.arr[now]
    both = ~np.isnan(before[now]) & ~np.isnan(after[now])
    counted = ~np.isnan(rows.outcomes) & ~np.isnan(before) & ~np.isnan(after)
    compared, churners = _compare(rows, before, after, counted, limits)
    dates = rows.dates[counted]
    return WhatIf(
        scorecard=rows.scorecard,
        champion=rows.champion,
        today=rows.today,
        tried=tried,
        newest=rows.newest,
        account_count=int(both.sum()),
        mean_today=float(before[now][both].mean()) if both.any() else float("nan"),
        mean_tried=float(after[now][both].mean()) if both.any() else float("nan"),
        bands=keys,
        moves=_moves(keys, places_before, places_after, arr),
        moved=_moved(rows, keys, places_before, places_after, before[now], after[now]),
        fixed_count=int((rows.fixed_places >= 0).sum()),
        lead_days=rows.lead_days,
        horizon_days=rows.horizon_days,
        first_month=dates.min().item() if len(dates) else None,
        last_month=dates.max().item() if len(dates) else None,
        row_count=len(dates),
        churner_count=churners,
        fewest_churners=int(limits["fewest_churners"]),
        capacity_share=limits["capacity_share"],
        compared=compared,
        history=_history(rows, before, after),
        checked_count=len(rows.accounts),
        largest_gap=rows.largest_gap,
        notes=(*_notes(rows, tried), *notes),
    )


def _notes(rows: Matrices, tried: Scoring) -> list[str]:
    """Limits of what is said."""
    notes = [
        "bands are those of the score alone, before and after: hysteresis is left out; "
        "accounts in a band by a knock-out or an override stay in it",
        "the months may be those on which the idea was found: what counts is a challenger "
        "that is scored from now on",
    ]
    earlier = sorted(
        (rows.dates[rows.versions == version].max().item(), version)
        for version in set(rows.versions)
        if version != rows.champion
    )
    changed = [
        metric
        for metric in rows.metrics
        if tried.anchors.get(metric) != rows.today.anchors.get(metric)
    ]
    sides = "with its anchors on both sides" + (
        f" (but those of {', '.join(changed)})" if changed else ""
    )
    notes += [
        f"months to {until} were scored by {name}: there, today is what {name} said, {sides}"
        for until, name in earlier
    ]
    notes += [
        f"{metric} was defined otherwise in {', '.join(sorted(rows.redefined_in[metric]))}: there "
        "it keeps its scores"
        for metric in changed
        if rows.redefined_in.get(metric)
    ]
    shared = [
        metric for metric in changed if any(card == ANY for card, _ in tried.anchors[metric].sets)
    ]
    if shared:
        notes.append(
            f"the anchors of {', '.join(shared)} are those of every scorecard (*): others that "
            "weigh it would change too, and that is not shown"
        )
    if rows.sampled_accounts is not None:
        notes.append(
            f"the past is that of {rows.sampled_accounts:,} accounts drawn by a hash of their id, "
            f"always the same ones: {int((~np.isnan(rows.outcomes)).sum()):,} of "
            f"{rows.labelled_count:,} account-months"
        )
    return notes


def headline_window(seed_files: Mapping[str, Path]) -> tuple[int, int]:
    """Lead and length (days) of the headline window of the seed validation_windows."""
    rows = read_seed("validation_windows", seed_files["validation_windows"]).rows if (
        "validation_windows" in seed_files
    ) else []  # fmt: skip
    headline = next((row for row in rows if row.text("is_headline") == "true"), None)
    if headline is None:
        return 0, 60
    return int(headline.number("lead_days") or 0), int(headline.number("horizon_days") or 60)


def _moves(
    keys: Sequence[str], before: npt.NDArray[np.int64], after: npt.NDArray[np.int64], arr: Floats
) -> tuple[Move, ...]:
    """Accounts and ARR of each pair of bands that occurs."""
    pairs = before * len(keys) + after
    counts = np.bincount(pairs, minlength=len(keys) ** 2)
    amounts = np.bincount(pairs, weights=arr, minlength=len(keys) ** 2)
    return tuple(
        sorted(
            (
                Move(
                    keys[pair // len(keys)],
                    keys[pair % len(keys)],
                    int(counts[pair]),
                    float(amounts[pair]),
                )
                for pair in np.flatnonzero(counts).tolist()
            ),
            key=lambda move: (move.today, move.tried),
        )
    )


def _moved(
    rows: Matrices,
    keys: Sequence[str],
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    score_before: Floats,
    score_after: Floats,
) -> tuple[Moved, ...]:
    """The accounts that change band, those with most ARR first."""
    accounts, arr = rows.accounts[rows.is_newest], rows.arr[rows.is_newest]
    places = np.flatnonzero(before != after)
    order = places[np.lexsort((accounts[places].astype(str), -arr[places]))]

    def score(value: float) -> float | None:
        return None if math.isnan(value) else value

    return tuple(
        Moved(
            account,
            rows.names.get(account, account),
            amount,
            score(one),
            score(other),
            keys[band],
            keys[other_band],
        )
        for account, amount, one, other, band, other_band in zip(
            accounts[order],
            arr[order].tolist(),
            score_before[order].tolist(),
            score_after[order].tolist(),
            before[order].tolist(),
            after[order].tolist(),
            strict=True,
        )
    )


def _history(rows: Matrices, before: Floats, after: Floats) -> tuple[Month, ...]:
    """Means by date of the accounts with both scores; none of a sample."""
    if rows.sampled_accounts is not None:
        return ()
    both = ~np.isnan(before) & ~np.isnan(after)
    days, places = np.unique(rows.dates[both], return_inverse=True)
    counts = np.bincount(places, minlength=len(days))
    one = np.bincount(places, weights=before[both], minlength=len(days))
    other = np.bincount(places, weights=after[both], minlength=len(days))
    return tuple(
        Month(day.item(), int(count), float(first / count), float(second / count))
        for day, count, first, second in zip(days, counts, one, other, strict=True)
    )


def _compare(
    rows: Matrices,
    before: Floats,
    after: Floats,
    counted: npt.NDArray[np.bool_],
    limits: Mapping[str, float],
) -> tuple[dict[str, statistics.PairedDifference], int]:
    """Paired figures of today's and the tried score; empty with too few churners."""
    outcomes = rows.outcomes[counted]
    accounts = rows.codes[counted]
    churners = len(np.unique(accounts[outcomes == 1]))
    if churners < limits["fewest_churners"] or outcomes.all():
        return {}, churners
    today, tried = before[counted], after[counted]
    share = limits["capacity_share"]
    at_ten = statistics.recall_paired(-today, -tried, outcomes, 0.1, accounts)
    lift = statistics.PairedDifference(
        *(10 * value for value in (at_ten.figure_a, at_ten.figure_b, at_ten.difference,
                                   at_ten.low, at_ten.high, at_ten.standard_error))
    )  # fmt: skip
    at_capacity = (
        at_ten if share == 0.1
        else statistics.recall_paired(-today, -tried, outcomes, share, accounts)
    )  # fmt: skip
    return {
        "auc": statistics.delong_paired(-today, -tried, outcomes, accounts),
        "lift_at_10_percent": lift,
        "recall_at_capacity": at_capacity,
        "arr_recall_at_capacity": arr_recall_paired(
            today, tried, rows.arr[counted] * outcomes, share, accounts
        ),
    }, churners


def arr_recall_paired(
    today: Floats,
    tried: Floats,
    lost_arr: Floats,
    share: float,
    accounts: npt.NDArray[np.int64],
    *,
    repeats: int = REPEATS,
    seed: int = SEED,
) -> statistics.PairedDifference:
    """`statistics.bootstrap_difference` of the ARR recall of two whole scores, by counting.

    A whole score has 101 levels, so that rows and lost ARR of a sample of accounts are counted by
    level instead of sorted: the samples and the figures are the same, in a fraction of the time.

    Args:
        today: shape (n,), whole scores from 0 to 100, low is risky.
        tried: shape (n,).
        lost_arr: shape (n,), ARR of rows with the outcome, else 0.
        share: of the rows that is looked at.
        accounts: shape (n,), whose row it is.
        repeats: samples of accounts.
        seed: of the samples.
    """
    from threadpoolctl import threadpool_limits

    codes = np.unique(accounts, return_inverse=True)[1]
    drawn = _samples(int(codes.max()) + 1, repeats, seed)
    with threadpool_limits(1):  # small products: threads would only wait for each other
        one, other = (
            _arr_recalls(scores, lost_arr, share, codes, drawn) for scores in (today, tried)
        )
    interval = statistics.percentile_interval(other[1:] - one[1:])
    return statistics.PairedDifference(
        float(one[0]), float(other[0]), float(other[0] - one[0]), *interval
    )


@lru_cache(maxsize=4)
def _samples(count: int, repeats: int, seed: int) -> npt.NDArray[np.uint16]:
    """How often each account is drawn, shape (repeats, count), as `statistics.bootstrap_rows`."""
    generator = np.random.default_rng(seed)
    return np.array(
        [np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(repeats)],
        dtype=np.uint16,
    )


def _arr_recalls(
    scores: Floats,
    lost_arr: Floats,
    share: float,
    codes: npt.NDArray[np.int64],
    drawn: npt.NDArray[np.uint16],
) -> Floats:
    """The ARR recall of all rows, then of each sample."""
    count = drawn.shape[1]
    places = codes * _LEVELS + scores.astype(np.int64)
    # counts are whole and small: 32 bits hold them exactly
    sizes = np.bincount(places, minlength=count * _LEVELS).astype(np.float32)
    sizes = sizes.reshape(count, _LEVELS)
    amounts = np.bincount(places, weights=lost_arr, minlength=count * _LEVELS)
    amounts = amounts.reshape(count, _LEVELS)
    lost = np.unique(codes[lost_arr > 0])  # few accounts lose anything
    amounts = amounts[lost]
    found = [_arr_recall(sizes.sum(axis=0)[None], amounts.sum(axis=0)[None], share)]
    for start in range(0, len(drawn), _CHUNK):
        times = drawn[start : start + _CHUNK]
        found.append(_arr_recall(times.astype(np.float32) @ sizes, times[:, lost] @ amounts, share))
    return np.concatenate(found)


def _arr_recall(sizes: Any, amounts: Any, share: float) -> Floats:
    """`statistics.recall` of samples, shape (k,), from rows and lost ARR by level, shape (k, 101).

    Rows tied at the edge share the places that are left.
    """
    sizes = sizes.astype(np.float64)
    wanted = share * sizes.sum(axis=1, keepdims=True)
    before = np.cumsum(sizes, axis=1) - sizes
    chances = np.clip((wanted - before) / np.where(sizes > 0, sizes, 1.0), 0.0, 1.0)
    total = amounts.sum(axis=1)
    return np.asarray((chances * amounts).sum(axis=1) / np.where(total > 0, total, np.nan))


# ---- telling ------------------------------------------------------------------------------------

LABELS = {
    "auc": "AUC",
    "lift_at_10_percent": "Lift at 10%",
    "recall_at_capacity": "Recall at capacity",
    "arr_recall_at_capacity": "ARR recall at capacity",
}


def render(found: WhatIf, console: Console) -> None:
    """Print the weights, who moves, and what the past says."""
    _print_weights(found, console)
    _print_moves(found, console)
    _print_accounts(found, console)
    _print_figures(found, console)
    for note in found.notes:
        console.print(f"- {escape(note)}", soft_wrap=True, highlight=False)
    console.print(
        f"- today's weights reproduce {found.checked_count:,} published scores (largest "
        f"difference {found.largest_gap:.1e})",
        soft_wrap=True,
        highlight=False,
    )
    console.print("\nNothing was written.", highlight=False)


def _table(*headings: str, text: int = 1) -> Table:
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < text else "right", overflow="fold")
    return table


def _print_weights(found: WhatIf, console: Console) -> None:
    table = _table("Weight of", "Today", "Tried")
    for category, weight in found.tried.weights.categories.items():
        before = found.today.weights.categories.get(category, 0.0)
        table.add_row(escape(category), f"{before:.3f}", _changed(before, weight))
        for metric in found.tried.weights.members(category):
            now, new = (
                found.today.weights.metrics.get(metric, 0.0),
                found.tried.weights.metrics[metric],
            )
            if abs(now - new) > SUM_TOLERANCE:
                table.add_row(f"  {escape(metric)}", f"{now:.3f}", _changed(now, new))
    console.print(table)
    _print_anchors(found, console)


def _print_anchors(found: WhatIf, console: Console) -> None:
    """The sets of anchors that are not today's."""
    if not found.changed_anchors:
        return
    table = _table("Anchors of", "Tenure", "Today (value → score)", "Tried")
    for metric, anchors in found.changed_anchors.items():
        before = found.today.anchors.get(metric, Anchors({}, is_step=False)).sets
        for (card, tenure), points in sorted(anchors.sets.items()):
            if points != before.get((card, tenure)):
                table.add_row(
                    escape(f"{metric} ({card})"),
                    f"{tenure}+",
                    points_in_words(before.get((card, tenure), ())),
                    f"[bold]{points_in_words(points)}[/bold]",
                )
    console.print(table)


def points_in_words(points: Sequence[tuple[float, float]]) -> str:
    """`0→2, 5→7`, or a dash."""
    return ", ".join(f"{value:g}→{score:g}" for value, score in points) or "–"


def _changed(before: float, after: float) -> str:
    text = f"{after:.3f}"
    return f"[bold]{text}[/bold]" if abs(before - after) > SUM_TOLERANCE else f"[dim]{text}[/dim]"


def _print_moves(found: WhatIf, console: Console) -> None:
    rank = {band: number for number, band in enumerate(found.bands)}
    cells = {(move.today, move.tried): move for move in found.moves}
    used = [
        band
        for band in found.bands
        if any(band in (move.today, move.tried) for move in found.moves)
    ]
    table = _table(f"Band on {found.newest}", *(f"→ {band}" for band in used))
    for today in used:
        row = []
        for tried in used:
            move = cells.get((today, tried))
            text = "–" if move is None else f"{move.account_count:,} ({_short(move.arr_amount)})"
            row.append(f"[dim]{text}[/dim]" if today == tried else text)
        table.add_row(escape(today), *row)
    console.print(table)

    def total(sign: int) -> str:
        moves = [
            move
            for move in found.moves
            if (rank[move.tried] - rank[move.today]) * sign > 0
            and NO_SCORE_BAND not in (move.today, move.tried)
        ]
        count = sum(move.account_count for move in moves)
        return f"{count:,} accounts ({_short(sum(move.arr_amount for move in moves))} ARR)"

    console.print(
        f"Accounts (ARR) by band. To a worse band: {total(-1)}; to a better one: {total(1)}. Mean "
        f"score of {found.account_count:,} accounts: {found.mean_today:.1f} → "
        f"{found.mean_tried:.1f}. {found.fixed_count:,} held by a knock-out or an override.",
        soft_wrap=True,
        highlight=False,
    )


def _short(amount: float) -> str:
    for size, unit in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(amount) >= size:
            return f"{amount / size:.1f}{unit}"
    return f"{amount:.0f}"


def _print_accounts(found: WhatIf, console: Console) -> None:
    if not found.moved:
        return
    table = _table("Account", "Name", "ARR", "Score", "Band", text=2)
    for each in found.moved[:SHOWN_ACCOUNTS]:
        table.add_row(
            escape(each.account_id),
            escape(printable(each.account_name)),
            f"{each.arr_amount:,.0f}",
            f"{_score(each.score_today)} → {_score(each.score_tried)}",
            escape(f"{each.band_today} → {each.band_tried}"),
        )
    console.print(table)
    more = len(found.moved) - SHOWN_ACCOUNTS
    if more > 0:
        console.print(f"and {more:,} more accounts change band (--json lists all)", highlight=False)


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.0f}"


def _print_figures(found: WhatIf, console: Console) -> None:
    window = f"churn {found.lead_days} to {found.lead_days + found.horizon_days} days later"
    if not found.compared:
        console.print(
            f"- what the past says ({window}): not enough outcomes ({found.churner_count}, "
            f"{found.fewest_churners} are needed)",
            soft_wrap=True,
            highlight=False,
        )
        return
    table = _table("Figure", "Today", "Tried", "Difference [95% interval]", "Verdict")
    for name, each in found.compared.items():
        form = "{:.1%}" if "recall" in name else "{:.3f}"
        signed = form.replace(":", ":+")
        low, high = signed.format(each.low), signed.format(each.high)
        table.add_row(
            LABELS[name],
            form.format(each.figure_a),
            form.format(each.figure_b),
            escape(f"{signed.format(each.difference)} [{low}, {high}]"),
            each.verdict.replace("_", " "),
        )
    console.print(table)
    console.print(
        f"- figures of {found.row_count:,} account-months with {found.churner_count} churned "
        f"accounts, {window}, scores of {found.first_month} to "
        f"{found.last_month}; capacity: the {found.capacity_share:.0%} with the lowest scores",
        soft_wrap=True,
        highlight=False,
    )
