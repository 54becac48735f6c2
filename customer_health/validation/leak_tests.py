"""Leak tests: does a score know what it could not have known?

A leak makes figures that are too good, so each of these looks for one of its traces. 1 (future
poison) and 2 (time travel) build an old date again, in `rebuild`; 3 to 5 read the marts:

3. Shuffled labels. With outcomes dealt out at random nothing can be ranked, so an AUC away from 0.5
   is one of the arithmetic, for example ties that are broken by the outcome. The shuffles go
   through arithmetic of our own, so the figure of the mart is counted again beside it and has to
   agree.
4. A single metric that ranks almost perfectly, either way, is probably the outcome itself.
5. A cliff of the AUC from one lead to the next: the score sees the last days only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from customer_health import statistics
from customer_health.validation.figures import (
    ALL,
    OUT_OF_TIME,
    Figures,
    Row,
    limit,
    observations,
)

SHUFFLES = 20
SEED = 20260630
# Beyond this many observations a random part of them is shuffled: it says the same.
MOST_SHUFFLED = 200_000
# Outside 2 standard errors lie 4.6% of honest shuffles: 6 or more of 20 once in 3,000 times.
MOST_OUTSIDE = 5
AGREEMENT = 1e-9

TITLES = {
    1: ("future_poison", "Future poison: absurd rows from a date on change no score of that date"),
    2: ("time_travel", "Time travel: a score built again for an old date is the stored one"),
    3: ("shuffled_labels", "Shuffled labels: with outcomes dealt out at random the AUC is 0.5"),
    4: ("leaking_metric", "No single metric ranks almost perfectly"),
    5: ("lead_cliff", "The AUC falls smoothly as the lead grows"),
}

Numbers = npt.NDArray[np.float64]
Auc = Callable[[Numbers, npt.NDArray[np.bool_]], float]


@dataclass(frozen=True)
class LeakTest:
    """How one leak test ended.

    Attributes:
        finding: one sentence with the figures, or why it did not run.
        blamed: metrics (or tables) that show the leak.
        details: figures, as JSON types.
    """

    number: int
    status: Literal["passed", "failed", "skipped"]
    finding: str
    blamed: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its name in `--json`."""
        return TITLES[self.number][0]

    @property
    def title(self) -> str:
        """What holds where it passed."""
        return TITLES[self.number][1]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"key": self.key, "title": self.title, **asdict(self)}


def skipped(number: int, why: str) -> LeakTest:
    """A test that did not run."""
    return LeakTest(number, "skipped", why)


def look_at_marts(marts: Any, figures: Figures) -> list[LeakTest]:
    """Leak tests 3, 4 and 5.

    Args:
        marts: a reader, or a connection of `open_marts`.
        figures: of the version and scorecard.
    """
    return [
        shuffled_labels(marts, figures),
        leaking_metrics(figures),
        lead_cliff(figures),
    ]


# -- 3 -----------------------------------------------------------------------------------------
def auc_of_scores(score: Numbers, is_churned: npt.NDArray[np.bool_]) -> float:
    """Probability that a churner scores below a stayer, ties as one half."""
    return statistics.auc(-score, is_churned)


def null_error(score: Numbers, n1: int) -> float:
    """Standard error of an AUC whose labels are dealt out at random.

    That of the Wilcoxon rank sum with ties: `sqrt((N + 1 - sum(t^3 - t)/(N (N - 1)))/(12 n1 n0))`.
    """
    n = len(score)
    counts = np.unique(score, return_counts=True)[1].astype(np.float64)
    ties = float((counts**3 - counts).sum()) / (n * (n - 1))
    return math.sqrt(max(n + 1 - ties, 0) / (12 * n1 * (n - n1)))


def shuffled_labels(marts: Any, figures: Figures, auc: Auc = auc_of_scores) -> LeakTest:
    """Test 3.

    Args:
        marts: a reader, or a connection of `open_marts`.
        figures: of the version and scorecard.
        auc: the arithmetic that is tested.
    """
    row = figures.headline
    fewest = limit(figures, "fewest_churners")
    if row.get("auc") is None:
        return skipped(3, f"not enough outcomes ({_churners(row)} churned, {fewest:.0f} needed)")
    found = observations(marts, figures, row)
    score = np.asarray(found["score"], dtype=np.float64)
    labels = np.asarray(found["is_churned"], dtype=bool)
    if not 0 < labels.sum() < len(labels):
        return LeakTest(
            3,
            "failed",
            f"the marts give an AUC of {row['auc']:.3f}, but among their {len(labels):,} "
            f"observations {int(labels.sum()):,} churned: there is nothing to rank",
        )
    counted = auc(score, labels)
    details: dict[str, Any] = {"auc_of_mart": row["auc"], "auc_counted_again": counted}
    if abs(counted - row["auc"]) > AGREEMENT:
        return LeakTest(
            3,
            "failed",
            f"val_health__discrimination gives an AUC of {row['auc']:.4f}, the observations under "
            f"it one of {counted:.4f}: one of the two counts ties or rows by their outcome",
            details=details,
        )
    return _judge_shuffles(score, labels, auc, details)


def _judge_shuffles(
    score: Numbers, labels: npt.NDArray[np.bool_], auc: Auc, details: dict[str, Any]
) -> LeakTest:
    """Deal the outcomes out anew, with fixed seeds, and look at what the arithmetic makes of it."""
    random = np.random.default_rng(SEED)
    if len(score) > MOST_SHUFFLED:
        chosen = random.choice(len(score), MOST_SHUFFLED, replace=False)
        score, labels = score[chosen], labels[chosen]
    error = null_error(score, int(labels.sum()))
    results = np.array(
        [
            auc(score, np.random.default_rng(SEED + number).permutation(labels))
            for number in range(SHUFFLES)
        ]
    )
    outside = int((np.abs(results - 0.5) > 2 * error).sum())
    mean = float(results.mean())
    details |= {
        "shuffles": SHUFFLES,
        "mean_auc": mean,
        "standard_error": error,
        "outside_2_standard_errors": outside,
    }
    has_failed = outside > MOST_OUTSIDE or abs(mean - 0.5) > 2 * error
    return LeakTest(
        3,
        "failed" if has_failed else "passed",
        f"AUC {mean:.3f} on average of {SHUFFLES} shuffles, {SHUFFLES - outside} of them within "
        f"0.5 ± {2 * error:.3f}" + (": the arithmetic sees the outcome" if has_failed else ""),
        details=details,
    )


# -- 4 -----------------------------------------------------------------------------------------
def leaking_metrics(figures: Figures) -> LeakTest:
    """Test 4: in the headline window, over all dates and out of time."""
    most = limit(figures, "leaking_metric_auc")
    found: dict[str, float] = {}
    for kind, value in (ALL, OUT_OF_TIME):
        for row in figures.rows(
            "discrimination",
            predictor_kind="metric",
            is_headline=True,
            slice_kind=kind,
            slice_value=value,
        ):
            if row["auc"] is not None:
                key = row["predictor_key"]
                found[key] = max(found.get(key, 0.5), row["auc"], 1 - row["auc"])
    if not found:
        return skipped(4, "no metric of this version has outcomes enough")
    highest = sorted(found, key=lambda key: (-found[key], key))
    leaking = [key for key in highest if found[key] > most]
    if leaking:
        told = ", ".join(f"{key} {found[key]:.3f}" for key in leaking)
        what = "it is" if len(leaking) == 1 else "they are"
        return LeakTest(
            4,
            "failed",
            f"AUC alone above {most:.2f}: {told}; {what} probably the cancellation itself",
            tuple(leaking),
            {"auc": {key: found[key] for key in leaking}, "limit": most},
        )
    return LeakTest(
        4,
        "passed",
        f"the highest AUC alone is {found[highest[0]]:.3f} ({highest[0]}), the limit {most:.2f}",
        details={"highest": highest[0], "auc": found[highest[0]], "limit": most},
    )


# -- 5 -----------------------------------------------------------------------------------------
def lead_cliff(figures: Figures) -> LeakTest:
    """Test 5: of the health score, in the headline's horizon."""
    most = limit(figures, "largest_lead_fall")
    known = [row for row in figures.leads() if row["auc"] is not None]
    if len(known) < 2:
        return skipped(5, "fewer than two leads have outcomes enough")
    falls = [
        (earlier["auc"] - later["auc"], earlier["lead_days"], later["lead_days"])
        for earlier, later in pairwise(known)
    ]
    fall, start, end = max(falls)
    auc = {str(row["lead_days"]): row["auc"] for row in known}
    details = {"auc_by_lead": auc, "largest_fall": fall, "from_lead": start, "limit": most}
    if fall <= most:
        told = ", ".join(f"{row['auc']:.3f} at {row['lead_days']} days" for row in known)
        return LeakTest(5, "passed", told, details=details)
    blamed = _steepest(figures, start, end, most)
    named = f"; steepest by themselves: {', '.join(blamed)}" if blamed else ""
    return LeakTest(
        5,
        "failed",
        f"the AUC falls by {fall:.3f} from a lead of {start} days to {end} (at most {most:.2f}): a "
        f"metric is the cancellation itself{named}",
        tuple(blamed),
        details,
    )


def _steepest(figures: Figures, start: int, end: int, least: float) -> list[str]:
    """Metrics whose own AUC falls as much between these leads, the steepest first."""
    horizon = figures.headline["horizon_days"]

    def at(lead: int) -> dict[str, float]:
        rows = figures.in_slice(
            "discrimination", predictor_kind="metric", lead_days=lead, horizon_days=horizon
        )
        return {row["predictor_key"]: row["auc"] for row in rows if row["auc"] is not None}

    near, far = at(start), at(end)
    falls = {key: near[key] - far[key] for key in near.keys() & far.keys()}
    return sorted((key for key in falls if falls[key] > least), key=lambda key: (-falls[key], key))


def _churners(row: Row) -> int:
    """Distinct churned accounts of a row; 0 where the mart has none."""
    return int(row.get("churner_count") or 0)
