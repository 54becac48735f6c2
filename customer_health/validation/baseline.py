"""The guard of CI: does a change of policy or scoring SQL cost predictive power?

A committed file holds what the demo data gave; `validate --against FILE` compares and names what
fell, and by how much. It is written by `validate --write-baseline FILE`, on purpose, in the change
that moves the figures.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from customer_health.errors import HealthError
from customer_health.publication import write_json
from customer_health.validation.figures import Figures

TOLERANCE = 0.01
GUARDED = {
    "auc_headline": "AUC in the headline window",
    "auc_lead_60": "AUC at 60 days of lead",
    "recall_at_capacity": "recall at capacity",
    "critical_recall": "Critical recall",
}


@dataclass(frozen=True)
class Compared:
    """One guarded figure beside that of the baseline."""

    key: str
    before: float | None
    now: float | None
    tolerance: float

    @property
    def has_fallen(self) -> bool:
        """Whether it fell by more than the tolerance; a figure that is gone has fallen."""
        if self.before is None:
            return False
        # 1e-9: a fall of exactly the tolerance is none, whatever the binary digits say
        return self.now is None or self.before - self.now > self.tolerance + 1e-9

    def in_words(self) -> str:
        """`AUC at 60 days of lead fell from 0.801 to 0.655, by 0.146 (tolerance 0.010)`."""
        name = GUARDED[self.key]
        if self.before is None or self.now is None:
            told = "there is none any more" if self.now is None else f"{self.now:.3f}"
            return f"{name}: {_number(self.before)} in the baseline, {told}"
        change = self.now - self.before
        if abs(change) < 0.0005:
            return f"{name} is {self.now:.3f}, as in the baseline"
        verb = "fell" if change < 0 else "rose"
        return (
            f"{name} {verb} from {self.before:.3f} to {self.now:.3f}, by {abs(change):.3f} "
            f"(tolerance {self.tolerance:.3f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "has_fallen": self.has_fallen, "in_words": self.in_words()}


def guarded(figures: Figures) -> dict[str, float | None]:
    """The guarded figures, out of time; None where there are not outcomes enough."""
    horizon = figures.headline.get("horizon_days")
    at_60 = figures.predictor(lead_days=60, horizon_days=horizon)
    return {
        "auc_headline": figures.headline.get("auc"),
        "auc_lead_60": at_60.get("auc"),
        "recall_at_capacity": figures.headline.get("recall_at_capacity"),
        "critical_recall": critical_recall(figures),
    }


def critical_recall(figures: Figures) -> float | None:
    """Share of the churned account-months whose band was the lowest, in the headline window."""
    rows = figures.in_slice("band_outcomes", is_headline=True, outcome="churn")
    churned = sum(row["outcome_count"] or 0 for row in rows)
    if not churned or figures.headline.get("auc") is None:
        return None
    ranked = [row["band_rank"] for row in rows if row["band_rank"] is not None]
    lowest = 1 if 1 in ranked or not ranked else min(ranked)
    caught = sum(row["outcome_count"] or 0 for row in rows if row["band_rank"] == lowest)
    return float(caught / churned)


def write(path: Path, figures: Figures) -> None:
    """Write the baseline, for review and commit.

    Raises:
        HealthError: when there are no figures to guard.
    """
    found = guarded(figures)
    if all(value is None for value in found.values()):
        raise HealthError("--write-baseline: there are no figures to guard (not enough outcomes)")
    headline = figures.headline
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        path,
        {
            "scoring_version": figures.scoring_version,
            "scorecard_key": figures.scorecard_key,
            "as_of_date": figures.as_of_date.isoformat(),
            "observation_count": headline.get("observation_count"),
            "churner_count": headline.get("churner_count"),
            "figures": {
                key: None if value is None else round(value, 6) for key, value in found.items()
            },
        },
    )


def compare(path: Path, figures: Figures, tolerance: float = TOLERANCE) -> list[Compared]:
    """Each guarded figure beside that of a baseline file.

    Raises:
        HealthError: when the file is missing or no baseline.
    """
    try:
        written = json.loads(path.read_text(encoding="utf-8"))["figures"]
        before = {key: _written(written[key]) for key in GUARDED}
    except FileNotFoundError as error:
        raise HealthError(
            f"--against: there is no {path}; write one with --write-baseline {path}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HealthError(
            f"--against: {path} is no baseline ({', '.join(GUARDED)} under 'figures'); write it "
            f"anew with --write-baseline {path}"
        ) from error
    now = guarded(figures)
    return [Compared(key, before[key], now[key], tolerance) for key in GUARDED]


def _written(value: Any) -> float | None:
    """A figure of the file.

    Raises:
        ValueError: for what is no number from 0 to 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(value)
    return float(value)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
