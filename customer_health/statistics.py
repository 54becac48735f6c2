"""Figures of validation on arrays: how well does a number rank, and how sure is that?

One convention throughout: `risk` is higher where an outcome is more likely (for a health score,
hand in the score with its sign turned), `outcomes` is 1 where it happened and 0 where not, and an
interval is a two-sided 95% one. The marts in models/marts/validation say the same in SQL; the
tests hold both against scikit-learn, scipy and statsmodels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

NORMAL_QUANTILE_95 = 1.959963984540054

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """A 95% interval, both ends inside."""

    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """A difference b − a of two figures taken on the same rows, with its 95% interval.

    Attributes:
        figure_a: figure of the first (today, the champion).
        figure_b: figure of the second (the suggestion, the challenger).
        difference: figure_b − figure_a.
        low: lower end of the interval of the difference.
        high: upper end.
        standard_error: of the difference; nan where it comes from a bootstrap.
    """

    figure_a: float
    figure_b: float
    difference: float
    low: float
    high: float
    standard_error: float = float("nan")

    @property
    def verdict(self) -> str:
        """`better` or `worse` (of b) where 0 lies outside the interval, else neither."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not_distinguishable"


# ---- ranks and the AUC --------------------------------------------------------------------------


def average_ranks(values: npt.ArrayLike) -> Floats:
    """Ranks from 1 on; tied values share the mean of theirs (scipy's rankdata).

    Args:
        values: shape (n,), finite.
    """
    _, places, counts = np.unique(_floats(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2.0)[places]
    return ranks


def auc(risk: npt.ArrayLike, outcomes: npt.ArrayLike) -> float:
    """Probability that a row with the outcome has a higher risk than one without; ties count half.

    By average ranks (Mann-Whitney): (sum(rank of those with) − n1(n1 + 1) / 2) / (n1 n0).

    Args:
        risk: shape (n,), higher = the outcome is more likely.
        outcomes: shape (n,), 0 or 1.

    Returns:
        0 to 1; nan where one of the two outcomes does not occur.
    """
    values, happened = _pair(risk, outcomes)
    with_count = int(happened.sum())
    without_count = len(happened) - with_count
    if not with_count or not without_count:
        return float("nan")
    rank_sum = float(average_ranks(values)[happened].sum())
    return (rank_sum - with_count * (with_count + 1) / 2) / (with_count * without_count)


def hanley_mcneil(area: float, with_count: int, without_count: int) -> Interval:
    """Interval of an AUC from the AUC and two counts.

    Hanley and McNeil (1982), "The meaning and use of the area under a receiver operating
    characteristic curve", with Q1 = A / (2 − A) and Q2 = 2A² / (1 + A). Where accounts are seen
    in several months, the counts to hand in are those of accounts: one account is one witness.

    Args:
        area: the AUC.
        with_count: witnesses with the outcome.
        without_count: witnesses without it.

    Returns:
        The interval, cut off at 0 and 1; nan without either kind of witness.
    """
    if not with_count or not without_count or np.isnan(area):
        return Interval(float("nan"), float("nan"))
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area)
        + (with_count - 1) * (first - area**2)
        + (without_count - 1) * (second - area**2)
    ) / (with_count * without_count)
    half = NORMAL_QUANTILE_95 * float(np.sqrt(max(variance, 0.0)))
    return Interval(max(area - half, 0.0), min(area + half, 1.0))


def delong_paired(
    risk_a: npt.ArrayLike,
    risk_b: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    accounts: npt.ArrayLike | None = None,
) -> PairedDifference:
    """Difference of the AUC of b and of a on the same rows, with its interval.

    DeLong, DeLong and Clarke-Pearson (1988), "Comparing the areas under two or more correlated
    receiver operating characteristic curves", by mid-ranks (Sun and Xu 2014). With `accounts`,
    the variance is that of Obuchowski (1997), "Nonparametric analysis of clustered ROC curve
    data": rows of one account count as one witness. With one row per account both are the same.

    Args:
        risk_a: shape (n,), higher = the outcome is more likely.
        risk_b: shape (n,), on the same rows.
        outcomes: shape (n,), 0 or 1.
        accounts: shape (n,), whose row it is; None: every row stands for itself.

    Returns:
        All figures nan where an outcome does not occur; the interval nan with fewer than two
        accounts with, or without, the outcome.
    """
    values_a, happened = _pair(risk_a, outcomes)
    values_b, _ = _pair(risk_b, outcomes)
    with_count = int(happened.sum())
    without_count = len(happened) - with_count
    nothing = float("nan")
    if not with_count or not without_count:
        return PairedDifference(nothing, nothing, nothing, nothing, nothing)
    with_a, without_a = _placements(values_a, happened)
    with_b, without_b = _placements(values_b, happened)
    area_a, area_b = float(with_a.mean()), float(with_b.mean())
    difference = area_b - area_a
    witnesses = np.arange(len(happened)) if accounts is None else _codes(accounts)
    # distances of every row's placement from the mean, summed over each account
    with_sums = np.zeros(int(witnesses.max()) + 1)
    without_sums = np.zeros_like(with_sums)
    np.add.at(with_sums, witnesses[happened], with_b - with_a - difference)
    np.add.at(without_sums, witnesses[~happened], without_b - without_a - difference)
    accounts_with = len(np.unique(witnesses[happened]))
    accounts_without = len(np.unique(witnesses[~happened]))
    all_accounts = len(with_sums)
    if accounts_with < 2 or accounts_without < 2:
        return PairedDifference(area_a, area_b, difference, nothing, nothing)
    variance = (
        accounts_with / (accounts_with - 1) * float(np.sum(with_sums**2)) / with_count**2
        + accounts_without
        / (accounts_without - 1)
        * float(np.sum(without_sums**2))
        / without_count**2
        + 2
        * all_accounts
        / (all_accounts - 1)
        * float(np.sum(with_sums * without_sums))
        / (with_count * without_count)
    )
    error = float(np.sqrt(max(variance, 0.0)))
    half = NORMAL_QUANTILE_95 * error
    return PairedDifference(area_a, area_b, difference, difference - half, difference + half, error)


def _placements(values: Floats, happened: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Per row with the outcome the share of those without that it beats, and the reverse."""
    with_count = int(happened.sum())
    without_count = len(happened) - with_count
    ranks = average_ranks(values)
    beaten = (ranks[happened] - average_ranks(values[happened])) / without_count
    beating = 1 - (ranks[~happened] - average_ranks(values[~happened])) / with_count
    return beaten, beating


# ---- the riskiest k -----------------------------------------------------------------------------


def caught(
    risk: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    count: float,
    amounts: npt.ArrayLike | None = None,
) -> float:
    """What is expected of the outcomes (or of their amounts) among the `count` riskiest rows.

    Rows tied at the edge share the places that are left: the expectation over a random order of
    them, so that the figure does not hang on how a file is sorted.

    Args:
        risk: shape (n,).
        outcomes: shape (n,), 0 or 1.
        count: how many rows are looked at; may be a fraction (10% of 15 rows are 1.5).
        amounts: shape (n,), what each outcome weighs, for example ARR; None: 1.
    """
    values, happened = _pair(risk, outcomes)
    weights = happened.astype(np.float64)
    if amounts is not None:
        weights = weights * _floats(amounts)
    return float(np.sum(_chances(values, count) * weights))


def _chances(values: Floats, count: float) -> Floats:
    """Per row the chance to be among the `count` riskiest: 1, 0, or a share among ties."""
    order = np.unique(-values, return_inverse=True)[1]
    sizes = np.bincount(order).astype(np.float64)
    before = np.cumsum(sizes) - sizes
    chances: Floats = np.clip((count - before) / sizes, 0.0, 1.0)[order]
    return chances


def lift(risk: npt.ArrayLike, outcomes: npt.ArrayLike, share: float) -> float:
    """Rate of the outcome among the riskiest `share` of the rows, over the rate among all.

    Returns:
        nan without rows or without any outcome.
    """
    values, happened = _pair(risk, outcomes)
    if not happened.any():
        return float("nan")
    count = share * len(values)
    return caught(values, happened, count) / count / float(happened.mean())


def recall(
    risk: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    share: float,
    amounts: npt.ArrayLike | None = None,
) -> float:
    """Share of all outcomes (or of their amounts) that lies in the riskiest `share` of the rows.

    Returns:
        nan where there is nothing to catch.
    """
    values, happened = _pair(risk, outcomes)
    weights = happened * (1.0 if amounts is None else _floats(amounts))
    total = float(np.sum(weights))
    if not total:
        return float("nan")
    return caught(values, happened, share * len(values), amounts) / total


def recall_paired(
    risk_a: npt.ArrayLike,
    risk_b: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    share: float,
    accounts: npt.ArrayLike | None = None,
) -> PairedDifference:
    """Difference of the recall of b and of a in their riskiest `share` of the same rows.

    The recall is the mean, over the rows with the outcome, of the chance to be among the riskiest
    (1, 0, or the shared place of ties). Its difference has the variance of a ratio over accounts
    (Cochran 1977, "Sampling Techniques", 6.3): sum of the squared sums of each account, about the
    mean. The edge of the riskiest share is taken as given. The lift is the recall divided by the
    share, and so are its difference and interval.

    Returns:
        All nan without outcomes; the interval nan with fewer than two accounts that have it.
    """
    _, happened = _pair(risk_a, outcomes)
    places_a = _chances(_pair(risk_a, outcomes)[0], share * len(happened))[happened]
    places_b = _chances(_pair(risk_b, outcomes)[0], share * len(happened))[happened]
    nothing = float("nan")
    if not len(places_a):
        return PairedDifference(nothing, nothing, nothing, nothing, nothing)
    found_a, found_b = float(places_a.mean()), float(places_b.mean())
    difference = found_b - found_a
    everyone = np.arange(len(happened)) if accounts is None else np.asarray(accounts)
    witnesses = _codes(everyone[happened])
    sums = np.bincount(witnesses, weights=places_b - places_a - difference)
    if len(sums) < 2:
        return PairedDifference(found_a, found_b, difference, nothing, nothing)
    variance = len(sums) / (len(sums) - 1) * float(np.sum(sums**2)) / len(places_a) ** 2
    error = float(np.sqrt(variance))
    half = NORMAL_QUANTILE_95 * error
    return PairedDifference(
        found_a, found_b, difference, difference - half, difference + half, error
    )


# ---- shares and probabilities -------------------------------------------------------------------


def wilson(count: float, total: float) -> Interval:
    """Interval of a share (Wilson 1927): sound for few rows and for shares near 0 and 1.

    Args:
        count: rows that count.
        total: all rows; nan comes back for 0.
    """
    if not total:
        return Interval(float("nan"), float("nan"))
    z = NORMAL_QUANTILE_95
    share = count / total
    middle = share + z**2 / (2 * total)
    half = z * float(np.sqrt((share * (1 - share) + z**2 / (4 * total)) / total))
    scale = 1 + z**2 / total
    return Interval((middle - half) / scale, (middle + half) / scale)


def brier(probabilities: npt.ArrayLike, outcomes: npt.ArrayLike) -> float:
    """Mean squared distance of probability and outcome (Brier 1950); 0 is perfect."""
    values, happened = _pair(probabilities, outcomes)
    return float(np.mean((values - happened) ** 2))


def brier_skill(
    probabilities: npt.ArrayLike, outcomes: npt.ArrayLike, base_rate: float | None = None
) -> float:
    """1 − Brier / Brier of the base rate: above 0, more is said than "it happens to so many".

    Args:
        probabilities: shape (n,), 0 to 1.
        outcomes: shape (n,), 0 or 1.
        base_rate: rate to beat; None: that of these outcomes.

    Returns:
        nan where the base rate is perfect already (only one outcome occurs).
    """
    _, happened = _pair(probabilities, outcomes)
    rate = float(happened.mean()) if base_rate is None else base_rate
    reference = float(np.mean((rate - happened) ** 2))
    return 1 - brier(probabilities, outcomes) / reference if reference else float("nan")


@dataclass(frozen=True)
class Calibration:
    """Logistic regression of outcomes on the log odds of probabilities (Cox 1958).

    Slope 1 and intercept 0 are perfect; a slope below 1 says the probabilities are too extreme.
    """

    slope: float
    intercept: float


def calibration(
    probabilities: npt.ArrayLike, outcomes: npt.ArrayLike, *, steps: int = 50
) -> Calibration:
    """Slope and intercept by Newton's method.

    Args:
        probabilities: shape (n,); cut off at 1e-6 and 1 − 1e-6.
        outcomes: shape (n,), 0 or 1.
        steps: most steps.

    Returns:
        nan for both where only one outcome, or only one probability, occurs, or where the
        outcomes are separated perfectly.
    """
    values, happened = _pair(probabilities, outcomes)
    clipped = np.clip(values, 1e-6, 1 - 1e-6)
    odds = np.log(clipped / (1 - clipped))
    none = Calibration(float("nan"), float("nan"))
    if happened.all() or not happened.any() or np.ptp(odds) == 0:
        return none
    design = np.column_stack([np.ones_like(odds), odds])
    beta = np.zeros(2)
    for _ in range(steps):
        fitted = 1 / (1 + np.exp(-np.clip(design @ beta, -500, 500)))
        information = design.T @ (design * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(information) > 1e14:
            return none
        step = np.linalg.solve(information, design.T @ (happened - fitted))
        beta = beta + step
        if float(np.max(np.abs(step))) < 1e-12:
            return Calibration(slope=float(beta[1]), intercept=float(beta[0]))
    return none


# ---- bootstrap ----------------------------------------------------------------------------------


def bootstrap_rows(
    accounts: npt.ArrayLike, *, repeats: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Row numbers of `repeats` samples of accounts, drawn with replacement, with all their rows.

    Accounts are drawn, not rows: the months of one account are one witness.

    Args:
        accounts: shape (n,), whose row it is.
        repeats: number of samples.
        seed: of the random generator; the same seed draws the same samples.
    """
    codes = _codes(accounts)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    generator = np.random.default_rng(seed)
    return [
        np.concatenate([parts[place] for place in generator.integers(0, len(parts), len(parts))])
        for _ in range(repeats)
    ]


def bootstrap_difference(
    statistic: Callable[[npt.NDArray[np.int64]], tuple[float, float]],
    row_count: int,
    samples: list[npt.NDArray[np.int64]],
) -> PairedDifference:
    """Percentile interval (Efron 1981) of the difference of two figures taken on the same rows.

    Args:
        statistic: figure a and figure b of some rows (row numbers in, two numbers out).
        row_count: number of rows in all; the figures themselves are those of all rows.
        samples: row numbers of each sample, from `bootstrap_rows`.

    Returns:
        The interval is nan where no sample has a figure.
    """
    figure_a, figure_b = statistic(np.arange(row_count))
    drawn = np.array([b - a for a, b in (statistic(rows) for rows in samples)])
    interval = percentile_interval(drawn)
    return PairedDifference(figure_a, figure_b, figure_b - figure_a, *interval)


def percentile_interval(drawn: npt.ArrayLike) -> Interval:
    """The middle 95% of what a bootstrap drew; samples without a figure (nan) are left out."""
    values = _floats(drawn)
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"))
    return Interval(float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5)))


# ---- arrays -------------------------------------------------------------------------------------


def _floats(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _codes(accounts: npt.ArrayLike) -> Integers:
    codes: Integers = np.unique(np.asarray(accounts), return_inverse=True)[1].astype(np.int64)
    return codes


def _pair(values: npt.ArrayLike, outcomes: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Both as arrays of one shape (n,); a ValueError names what does not fit."""
    numbers, happened = _floats(values), _floats(outcomes)
    if numbers.ndim != 1 or numbers.shape != happened.shape:
        raise ValueError(f"shapes {numbers.shape} and {happened.shape}: one number per outcome")
    if not np.isin(happened, (0.0, 1.0)).all():
        raise ValueError("outcomes are 0 or 1")
    if not np.isfinite(numbers).all():
        raise ValueError("a row without a number cannot be ranked: leave it out")
    return numbers, happened == 1
