"""What if: other weights and anchors on what is published, and the seed rows that would say so."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import altair as alt
from markupsafe import Markup

from customer_health.dashboard import charts, html
from customer_health.errors import HealthError
from customer_health.fitting.matrices import Matrices, Scoring, read_matrices
from customer_health.fitting.observations import Anchors
from customer_health.fitting.weights import Weights, to_decimals
from customer_health.fitting.what_if import (
    LABELS,
    SUM_TOLERANCE,
    Given,
    GivenAnchor,
    WhatIf,
    apply,
    apply_anchors,
    headline_window,
)
from customer_health.policy import ANY, NO_SCORE_BAND, csv_text, plain_number, read_seed
from customer_health.statistics import PairedDifference
from customer_health.validation.report import share
from customer_health.warehouses import Reader

PAGE_ROWS = 10
# Account-months of the past that are scored on each move: more would not move in a second.
MOST_ROWS = 200_000
CHART_HEIGHT = 240
_GREY = "#5f6b76"
_VERSION = re.compile(r"(.*?)(\d+)\Z")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_VERDICTS = {
    "better": ("good", "✓", "better"),
    "worse": ("bad", "✕", "worse"),
    "not_distinguishable": ("unknown", "?", "cannot be told apart"),
}


def load(reader: Reader, seed_files: Mapping[str, Path], scorecard: str) -> Matrices:
    """What is scored on each move, with the outcomes of the headline window.

    Raises:
        HealthError: when nobody has a score, or today's weights do not give the published ones.
    """
    lead, horizon = headline_window(seed_files)
    return read_matrices(
        reader,
        seed_files,
        scorecard,
        lead_days=lead,
        horizon_days=horizon,
        most_rows=MOST_ROWS,
    )


# -- the idea --------------------------------------------------------------------------------------
def percent(weight: float) -> int:
    """A weight as a slider shows it, 0 to 100."""
    return int(weight * 100 + 0.5)


@dataclass(frozen=True)
class Moved:
    """What was moved on the page.

    Attributes:
        weights: category or metric (kind, key) to its percent, only those that were moved.
        held: categories and metrics that keep today's weight.
        points: of the anchors of one metric.
    """

    weights: Mapping[tuple[str, str], int]
    held: Collection[tuple[str, str]] = ()
    points: Sequence[GivenAnchor] = ()


def scoring_of(today: Scoring, moved: Moved) -> Scoring:
    """The idea: moved and held weights, others in proportion; to four digits, as in a seed.

    Raises:
        HealthError: when moved weights sum to more than 1, or an anchor value is there twice.
    """
    weights = today.weights
    given = [
        Given("Sliders", kind, key, percents / 100)
        for (kind, key), percents in moved.weights.items()
    ]
    # Where nothing moves, holding says nothing: all weights are today's.
    groups = {_group(weights, kind, key) for kind, key in moved.weights}
    given += [
        Given("Sliders", kind, key, _weight(weights, kind, key))
        for kind, key in moved.held
        if (kind, key) not in moved.weights and _group(weights, kind, key) in groups
    ]
    _refuse_sums(weights, given)
    tried = _rounded(weights, apply(weights, given)) if given else weights
    anchors = today.anchors
    if moved.points:
        changed = apply_anchors(anchors, moved.points, weights.metrics)
        anchors = anchors if changed == anchors else changed
    return replace(today, weights=tried, anchors=anchors)


def _refuse_sums(weights: Weights, given: Sequence[Given]) -> None:
    """In the words of the sliders what `apply` would say of a sum.

    Raises:
        HealthError: when weights sum to more than 100%, or to less and none is left to move.
    """
    sums: dict[str, float] = {}
    for each in given:
        group = _group(weights, each.kind, each.key)
        sums[group] = sums.get(group, 0.0) + each.weight
    fixed = {(each.kind, each.key) for each in given}
    for group, total in sums.items():
        kind = "metric" if group else "category"
        keys = weights.members(group) if group else list(weights.categories)
        left = sum(_weight(weights, kind, key) for key in keys if (kind, key) not in fixed)
        what = (
            f"The metric weights of {group.replace('_', ' ')}" if group else "The category weights"
        )
        if total > 1 + SUM_TOLERANCE:
            raise HealthError(
                f"{what} that you moved or keep sum to {total:.0%}: take {total - 1:.0%} away."
            )
        if not left and total < 1 - SUM_TOLERANCE:
            raise HealthError(
                f"{what} sum to {total:.0%} and none is left to take the rest: add {1 - total:.0%}."
            )


def _group(weights: Weights, kind: str, key: str) -> str:
    return "" if kind == "category" else weights.category_of.get(key, "")


def _weight(weights: Weights, kind: str, key: str) -> float:
    return (weights.categories if kind == "category" else weights.metrics)[key]


def _rounded(today: Weights, tried: Weights) -> Weights:
    """The weights as a seed would hold them; a group that was not touched stays as it is."""
    metrics = dict(tried.metrics)
    for category in tried.categories:
        members = tried.members(category)
        metrics.update(
            _rounded_group(
                {metric: today.metrics[metric] for metric in members},
                {metric: tried.metrics[metric] for metric in members},
            )
        )
    return Weights(_rounded_group(today.categories, tried.categories), metrics, tried.category_of)


def _rounded_group(today: Mapping[str, float], tried: Mapping[str, float]) -> dict[str, float]:
    if not is_changed(today, tried):
        return dict(today)
    total = sum(tried.values())
    shares = to_decimals({key: weight / total for key, weight in tried.items()})
    return {key: float(weight) for key, weight in shares.items()}


def is_changed(today: Mapping[str, float], tried: Mapping[str, float]) -> bool:
    """Whether any weight of a group is another."""
    return any(abs(today.get(key, 0.0) - weight) > SUM_TOLERANCE for key, weight in tried.items())


def sets_in_force(anchors: Anchors) -> list[tuple[str, int]]:
    """Keys of the sets that count for the scorecard: its own, else those of `*`, by tenure."""
    own = [key for key in anchors.sets if key[0] != ANY]
    return sorted(own or anchors.sets)


# -- the rows of a new version -----------------------------------------------------------------
def next_version(seed_files: Mapping[str, Path], champion: str) -> str:
    """A name for a new version that is not taken: v2 after v1."""
    taken = {
        row.text("scoring_version")
        for row in read_seed("scoring_versions", seed_files["scoring_versions"]).rows
    }
    found = _VERSION.match(champion)
    stem, number = (found[1], int(found[2])) if found else (f"{champion}-", 1)
    while f"{stem}{number}" in taken:
        number += 1
    return f"{stem}{number}"


def check_version(seed_files: Mapping[str, Path], name: str) -> str:
    """The name of a new version.

    Raises:
        HealthError: when it cannot be one, or is taken.
    """
    if not _NAME.match(name):
        raise HealthError(
            'The name of the version: use letters, digits, "_", "-" and "." (at most 64).'
        )
    rows = read_seed("scoring_versions", seed_files["scoring_versions"]).of_version(name)
    if rows:
        raise HealthError(f"The version {name} is there already; choose another name.")
    return name


def seed_rows(
    seed_files: Mapping[str, Path], rows: Matrices, tried: Scoring, version: str
) -> dict[str, str]:
    """The seeds that the idea changes: name to CSV text, all rows of the new version.

    Rows of other scorecards are those of the champion, so that the rows that `policy new-version`
    copied can be replaced whole.

    Args:
        seed_files: the seeds.
        rows: whose scorecard and champion.
        tried: the idea.
        version: name of the new version.
    """
    today = rows.today
    found: dict[str, str] = {}
    for name, column, before, after in (
        ("category_weights", "category_key", today.weights.categories, tried.weights.categories),
        ("metric_weights", "metric_key", today.weights.metrics, tried.weights.metrics),
    ):
        if is_changed(before, after):
            changes = {
                key: _plain(weight)
                for key, weight in after.items()
                if abs(weight - before.get(key, 0.0)) > SUM_TOLERANCE
            }
            found[name] = _csv(
                [
                    {**cells, "weight": changes.get(cells[column], cells["weight"])}
                    if cells["scorecard_key"] == rows.scorecard
                    else cells
                    for cells in _cells(seed_files, name, rows.champion)
                ],
                version,
            )
    changed = {
        (metric, *key): points
        for metric, anchors in tried.anchors.items()
        for key, points in anchors.sets.items()
        if metric not in today.anchors or today.anchors[metric].sets.get(key) != points
    }
    if changed:
        found["metric_anchors"] = _csv(
            _anchor_rows(_cells(seed_files, "metric_anchors", rows.champion), changed), version
        )
    return found


def _anchor_rows(
    cells: Sequence[Mapping[str, str]],
    changed: Mapping[tuple[str, str, int], Sequence[tuple[float, float]]],
) -> Iterable[Mapping[str, str]]:
    """The rows with each changed set where its first row stood; a new set at the end."""
    left = dict(changed)
    for row in cells:
        key = (row["metric_key"], row["scorecard_key"], int(row["tenure_days_from"] or 0))
        if key not in changed:
            yield row
        elif key in left:
            yield from _points(row, key, left.pop(key))
    for key, points in left.items():
        yield from _points(cells[0], key, points)


def _points(
    row: Mapping[str, str], key: tuple[str, str, int], points: Sequence[tuple[float, float]]
) -> Iterable[Mapping[str, str]]:
    metric, card, tenure = key
    for value, score in points:
        yield {
            **row,
            "metric_key": metric,
            "scorecard_key": card,
            "tenure_days_from": str(tenure),
            "value": _plain(value),
            "score": _plain(score),
        }


def _cells(seed_files: Mapping[str, Path], name: str, version: str) -> list[Mapping[str, str]]:
    return [row.cells for row in read_seed(name, seed_files[name]).of_version(version)]


def _csv(rows: Iterable[Mapping[str, str]], version: str) -> str:
    written = [{**row, "scoring_version": version} for row in rows]
    return csv_text(list(written[0]), [list(row.values()) for row in written])


def _plain(number: float) -> str:
    """A number without the digits that floats add."""
    return plain_number(Decimal(f"{number:.12g}"))


def commands(champion: str, version: str) -> str:
    """What to type, in order, around the change of the seeds."""
    return (
        f'customer-health policy new-version {champion} {version} --reason "why"\n'
        f"# replace the rows of {version} by those of the files, then:\n"
        "customer-health check policy\n"
        f"customer-health what-if --version {version}\n"
        "customer-health run"
    )


# -- what would be different -----------------------------------------------------------------------
@dataclass(frozen=True)
class Total:
    """Accounts and ARR of a band, before and after."""

    band: str
    accounts_today: int
    accounts_tried: int
    arr_today: float
    arr_tried: float


def totals(found: WhatIf) -> list[Total]:
    """Accounts and ARR by band, the best band first; bands that nobody is in are left out."""
    rows = []
    for band in _best_first(found):
        before = [move for move in found.moves if move.today == band]
        after = [move for move in found.moves if move.tried == band]
        if before or after:
            rows.append(
                Total(
                    band,
                    sum(move.account_count for move in before),
                    sum(move.account_count for move in after),
                    sum(move.arr_amount for move in before),
                    sum(move.arr_amount for move in after),
                )
            )
    return rows


def migrations(found: WhatIf) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Bands of the idea as columns; band today and accounts in each column as rows."""
    counts = {(move.today, move.tried): move.account_count for move in found.moves}
    bands = _best_first(found)
    columns = [band for band in bands if any(tried == band for _, tried in counts)]
    return columns, [
        (band, [counts.get((band, tried), 0) for tried in columns])
        for band in bands
        if any(today == band for today, _ in counts)
    ]


def moved_totals(found: WhatIf) -> tuple[tuple[int, float], tuple[int, float]]:
    """Accounts and ARR that go to a worse band, and to a better one; without a score is neither."""
    rank = {band: number for number, band in enumerate(found.bands)}

    def total(sign: int) -> tuple[int, float]:
        moves = [
            move
            for move in found.moves
            if (rank[move.tried] - rank[move.today]) * sign > 0
            and NO_SCORE_BAND not in (move.today, move.tried)
        ]
        return sum(move.account_count for move in moves), sum(move.arr_amount for move in moves)

    return total(-1), total(1)


def _best_first(found: WhatIf) -> list[str]:
    ranked = [band for band in reversed(found.bands) if band != NO_SCORE_BAND]
    return [*ranked, NO_SCORE_BAND]


def figure_rows(found: WhatIf) -> list[list[Any]]:
    """Figures of the past: name, today, tried, difference with its interval, verdict."""
    rows: list[list[Any]] = []
    for name, each in found.compared.items():
        rows.append(
            [
                LABELS[name],
                _figure(name, each.figure_a),
                _figure(name, each.figure_b),
                difference_in_words(name, each),
                verdict_mark(each),
            ]
        )
    return rows


def verdict_mark(each: PairedDifference) -> Markup:
    """Better, worse, or neither, by icon and word."""
    return html.mark(*_VERDICTS[each.verdict])


def _figure(name: str, value: float, *, signed: bool = False) -> str:
    if math.isnan(value):
        return html.NONE
    if "recall" in name:
        return f"{100 * value:+.1f} points" if signed else share(value, 1)
    digits = 3 if name == "auc" else 2
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def difference_in_words(name: str, each: PairedDifference) -> str:
    """`-0.013 (-0.021 to -0.004)`; shares in percentage points."""
    if math.isnan(each.low):
        return _figure(name, each.difference, signed=True)
    low = _figure(name, each.low, signed=True).removesuffix(" points")
    return (
        f"{_figure(name, each.difference, signed=True)} "
        f"({low} to {_figure(name, each.high, signed=True).removesuffix(' points')})"
    )


def verdict_in_words(found: WhatIf) -> str:
    """What the AUC of the past says about the idea, in a sentence."""
    auc = found.compared.get("auc")
    if auc is None:
        return (
            f"Not enough outcomes: {found.churner_count} churned accounts are followed far enough, "
            f"{found.fewest_churners} are needed. Build more history."
        )
    if auc.verdict == "not_distinguishable":
        return "The past cannot tell this idea from today's scores."
    word = "better" if auc.verdict == "better" else "worse"
    return f"On the past months this idea ranks accounts that churned {word} than today's scores."


def past_in_words(found: WhatIf) -> str:
    """Which rows the figures are of."""
    last = found.lead_days + found.horizon_days
    return (
        f"{found.row_count:,} account-months of {found.first_month} to {found.last_month}, "
        f"{found.churner_count:,} accounts churned {found.lead_days} to {last} days later. Low "
        f"scores come first; capacity is the {found.capacity_share:.0%} with the lowest. In "
        "parentheses: 95% intervals of the difference, months of one account counted as one "
        "witness."
    )


def change(before: str, after: str) -> Markup:
    """Before and after, with an arrow; one figure where they are the same."""
    if before == after:
        return Markup("{}").format(after)
    return Markup('{} <span aria-label="to">→</span> {}').format(before, after)


def sentence(text: str) -> str:
    """A remark with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def anchor_chart(
    today: Sequence[tuple[float, float]],
    tried: Sequence[tuple[float, float]],
    title: str,
    *,
    is_step: bool,
) -> alt.Chart:
    """The score of each value, today and tried.

    Args:
        today: points (value, score) by value.
        tried: likewise.
        title: of the axis of values, with the unit.
        is_step: drawn as steps.
    """
    ends = [value for value, _ in (*today, *tried)]
    room = 0.04 * (max(ends) - min(ends) or 1.0)
    first, last = min(ends) - room, max(ends) + room
    shown = []
    for which, points in (("today", today), ("tried", tried)):
        line = [(first, points[0][1]), *points, (last, points[-1][1])]  # flat outside the ends
        shown += [{"which": which, "value": value, "score": score} for value, score in line]
    return (
        alt.Chart(charts.data(shown), height=CHART_HEIGHT)
        .mark_line(interpolate="step-after" if is_step else "linear", strokeWidth=2)
        .encode(
            x=alt.X("value:Q", title=title, scale=alt.Scale(nice=False, zero=False)),
            y=alt.Y("score:Q", title="Score", scale=alt.Scale(domain=[0, 10])),
            color=alt.Color(
                "which:N",
                title=None,
                scale=alt.Scale(domain=["today", "tried"], range=[_GREY, charts.BLUE]),
                legend=alt.Legend(orient="top"),
            ),
            strokeDash=alt.StrokeDash(
                "which:N",
                title=None,
                scale=alt.Scale(domain=["today", "tried"], range=[[5, 4], [1, 0]]),
            ),
            tooltip=[
                alt.Tooltip("which:N", title="Anchors"),
                alt.Tooltip("value:Q", title="Value", format=",.4~g"),
                alt.Tooltip("score:Q", title="Score", format=".4~g"),
            ],
        )
    )
