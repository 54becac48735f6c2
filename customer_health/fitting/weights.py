"""Weights of a scorecard, and the score that they give: the arithmetic of docs/scoring-model.md, 3.

The same as int_health__category_scores and int_health__account_scores, on arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from customer_health.errors import HealthError, UsageError
from customer_health.fitting.observations import Floats
from customer_health.policy import read_seed


@dataclass(frozen=True)
class Weights:
    """Weights of one scorecard.

    Attributes:
        categories: category to weight; they sum to 1.
        metrics: metric to weight; those of a category sum to 1.
        category_of: metric to category.
    """

    categories: Mapping[str, float]
    metrics: Mapping[str, float]
    category_of: Mapping[str, str]

    def members(self, category: str) -> list[str]:
        """Metrics of a category that have a weight row."""
        return [metric for metric in self.metrics if self.category_of[metric] == category]

    def effective(self, metric: str) -> float:
        """Weight of a metric in the whole score when everything is known."""
        return self.categories.get(self.category_of[metric], 0.0) * self.metrics[metric]


def read_weights(seed_files: Mapping[str, Path], version: str, scorecard: str) -> Weights:
    """The weights of a scorecard in the seeds.

    Raises:
        HealthError: when a seed cannot be read.
        UsageError: when the version does not weigh the scorecard.
    """
    category_of = {
        row.text("metric_key"): row.text("category_key")
        for row in _rows(seed_files, "metrics", version)
    }
    found: dict[str, dict[str, float]] = {}
    for name, column in (("category_weights", "category_key"), ("metric_weights", "metric_key")):
        found[name] = {
            row.text(column): float(row.number("weight") or 0)
            for row in _rows(seed_files, name, version)
            if row.text("scorecard_key") == scorecard
        }
        if not found[name]:
            raise UsageError(
                f"--scorecard: version {version} has no {name.replace('_', ' ')} of {scorecard!r}"
            )
    metrics = {key: weight for key, weight in found["metric_weights"].items() if key in category_of}
    return Weights(found["category_weights"], metrics, category_of)


def _rows(seed_files: Mapping[str, Path], name: str, version: str) -> list:
    seed = read_seed(name, seed_files[name])
    if not seed.is_readable:
        raise HealthError(str(seed.problems[0]))
    return seed.of_version(version)


def category_scores(
    weights: Weights, metrics: Sequence[str], scores: Floats
) -> tuple[tuple[str, ...], Floats]:
    """Categories with weight and their scores (0-10) per row; nan where no metric is known.

    Args:
        weights: of the scorecard.
        metrics: keys of the columns of `scores`.
        scores: shape (n, m), 0 to 10, nan where not known.
    """
    categories = weighted_columns(weights, metrics)
    columns = np.full((len(scores), len(categories)), np.nan)
    for number, (places, inside) in enumerate(categories.values()):
        columns[:, number] = weighted_mean(scores[:, places], inside)
    return tuple(categories), columns


def weighted_columns(
    weights: Weights, metrics: Sequence[str]
) -> dict[str, tuple[list[int], Floats]]:
    """Categories with weight: the columns of their metrics with weight, and those weights.

    Args:
        weights: of the scorecard.
        metrics: keys of the columns.
    """
    found = {}
    for category in (key for key, weight in weights.categories.items() if weight > 0):
        places = [
            place
            for place, metric in enumerate(metrics)
            if weights.category_of.get(metric) == category and weights.metrics.get(metric, 0) > 0
        ]
        found[category] = (places, np.array([weights.metrics[metrics[place]] for place in places]))
    return found


def account_scores(weights: Weights, metrics: Sequence[str], scores: Floats) -> Floats:
    """Health scores (0-100, exact) per row; nan where nothing is known."""
    categories, columns = category_scores(weights, metrics, scores)
    outside = np.array([weights.categories[category] for category in categories])
    return 10 * weighted_mean(columns, outside)


def as_read(scores: Floats) -> Floats:
    """Exact scores as people read them: whole, half up."""
    return np.floor(np.round(scores, 10) + 0.5)


def weighted_mean(columns: Floats, weights: Floats) -> Floats:
    """Mean over the known columns of each row; nan where none is known."""
    total, found = np.zeros(len(columns)), np.zeros(len(columns))
    for column, weight in zip(columns.T, weights, strict=True):
        known = ~np.isnan(column)
        total += weight * known
        found += weight * np.where(known, column, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return found / np.where(total > 0, total, np.nan)


def to_decimals(shares: Mapping[str, float], digits: int = 4) -> dict[str, Decimal]:
    """Shares as decimals that sum to exactly 1 (largest remainders get the last units).

    Raises:
        ValueError: when they are negative or do not sum to 1.
    """
    if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"shares are not negative and sum to 1, not {dict(shares)}")
    units = 10**digits
    scaled = {key: share * units for key, share in shares.items()}
    whole = {key: int(share) for key, share in scaled.items()}
    missing = units - sum(whole.values())
    by_remainder = sorted(scaled, key=lambda key: (whole[key] - scaled[key], key))
    for key in by_remainder[:missing]:
        whole[key] += 1
    return {key: Decimal(share).scaleb(-digits) for key, share in whole.items()}
