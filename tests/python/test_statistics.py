"""The figures of customer_health.statistics against scikit-learn, scipy and statsmodels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
import statsmodels.api
from sklearn.metrics import brier_score_loss, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from customer_health import statistics

EXACT = 1e-9


def drawn(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two risks with ties, outcomes and the account of each row (several rows per account)."""
    generator = np.random.default_rng(seed)
    outcomes = (generator.random(count) < 0.2).astype(float)
    risk_a = np.round(generator.normal(outcomes, 2.0), 1)
    risk_b = np.round(0.5 * risk_a + generator.normal(outcomes, 1.0), 0)
    return risk_a, risk_b, outcomes, generator.integers(0, count // 4, count)


@pytest.mark.parametrize("seed", range(5))
def test_auc_and_ranks_agree_with_scikit_learn_and_scipy(seed: int) -> None:
    risk, other, outcomes, _ = drawn(seed)
    assert statistics.auc(risk, outcomes) == pytest.approx(roc_auc_score(outcomes, risk), abs=EXACT)
    assert np.array_equal(statistics.average_ranks(other), scipy.stats.rankdata(other))
    assert statistics.auc(np.zeros(4), [0, 1, 0, 1]) == 0.5


def test_no_auc_of_one_outcome_alone() -> None:
    assert np.isnan(statistics.auc([1.0, 2.0], [0, 0]))
    assert np.isnan(statistics.delong_paired([1.0, 2.0], [2.0, 1.0], [1, 1]).difference)
    assert np.isnan(statistics.hanley_mcneil(0.7, 0, 5).low)


def test_hanley_mcneil_by_the_example_of_the_paper() -> None:
    """58 normal and 51 abnormal images, area 0.893, standard error 0.032 (table I and p. 33)."""
    low, high = statistics.hanley_mcneil(0.893, 51, 58)
    assert (high - low) / 2 / statistics.NORMAL_QUANTILE_95 == pytest.approx(0.032, abs=6e-4)
    assert statistics.hanley_mcneil(0.99, 5, 5).high == 1.0


def delong_by_definition(
    risk_a: np.ndarray, risk_b: np.ndarray, outcomes: np.ndarray
) -> tuple[float, float]:
    """Difference and its variance from the kernel of all pairs, as in the paper."""
    placements = []
    for risk in (risk_a, risk_b):
        kernel = np.array(
            [[(x > y) + 0.5 * (x == y) for y in risk[outcomes == 0]] for x in risk[outcomes == 1]]
        )
        placements.append((kernel.mean(axis=1), kernel.mean(axis=0)))
    with_both = np.cov([one[0] for one in placements])
    without_both = np.cov([one[1] for one in placements])
    contrast = np.array([-1.0, 1.0])
    covariance = with_both / (outcomes == 1).sum() + without_both / (outcomes == 0).sum()
    difference = placements[1][0].mean() - placements[0][0].mean()
    return float(difference), float(contrast @ covariance @ contrast)


@pytest.mark.parametrize("seed", range(3))
def test_delong_by_mid_ranks_is_delong_by_all_pairs(seed: int) -> None:
    risk_a, risk_b, outcomes, _ = drawn(seed, 120)
    found = statistics.delong_paired(risk_a, risk_b, outcomes)
    difference, variance = delong_by_definition(risk_a, risk_b, outcomes)
    assert found.difference == pytest.approx(difference, abs=EXACT)
    assert found.standard_error == pytest.approx(variance**0.5, abs=EXACT)
    half = scipy.stats.norm.ppf(0.975) * variance**0.5
    assert (found.low, found.high) == pytest.approx((difference - half, difference + half))
    assert found.figure_b == pytest.approx(roc_auc_score(outcomes, risk_b), abs=EXACT)


def test_a_row_that_is_there_four_times_is_one_witness() -> None:
    """Obuchowski's variance does not shrink when every account is repeated as it is."""
    risk_a, risk_b, outcomes, _ = drawn(7, 150)
    once = statistics.delong_paired(risk_a, risk_b, outcomes)
    accounts = np.tile(np.arange(150), 4)
    four = [np.tile(values, 4) for values in (risk_a, risk_b, outcomes)]
    clustered = statistics.delong_paired(four[0], four[1], four[2], accounts)
    assert clustered.difference == pytest.approx(once.difference, abs=EXACT)
    assert clustered.standard_error == pytest.approx(once.standard_error, abs=EXACT)
    alone = statistics.delong_paired(four[0], four[1], four[2])
    assert alone.standard_error < 0.6 * once.standard_error


def test_clustered_interval_agrees_with_the_bootstrap_over_accounts() -> None:
    """Accounts with and without the outcome in different months, where the cross term counts."""
    risk_a, risk_b, outcomes, accounts = drawn(3, 1200)
    found = statistics.delong_paired(risk_a, risk_b, outcomes, accounts)
    samples = statistics.bootstrap_rows(accounts, repeats=600, seed=1)
    drawn_again = statistics.bootstrap_difference(
        lambda rows: (
            statistics.auc(risk_a[rows], outcomes[rows]),
            statistics.auc(risk_b[rows], outcomes[rows]),
        ),
        len(outcomes),
        samples,
    )
    assert drawn_again.difference == pytest.approx(found.difference, abs=EXACT)
    assert drawn_again.low == pytest.approx(found.low, abs=0.25 * found.standard_error)
    assert drawn_again.high == pytest.approx(found.high, abs=0.25 * found.standard_error)
    again = statistics.bootstrap_rows(accounts, repeats=600, seed=1)
    assert all(np.array_equal(one, other) for one, other in zip(samples, again, strict=True))


def test_ties_at_the_edge_are_shared_out() -> None:
    """The mean over all orders of the tied rows."""
    risk = np.array([3.0, 2.0, 2.0, 2.0, 1.0])
    outcomes = np.array([0, 1, 0, 1, 1])
    amounts = np.array([9.0, 10.0, 20.0, 40.0, 80.0])
    by_orders = [
        sum(outcomes[list(order)] * amounts[list(order)])
        for order in itertools.combinations([1, 2, 3], 2)
    ]
    assert statistics.caught(risk, outcomes, 3, amounts) == pytest.approx(np.mean(by_orders))
    assert statistics.caught(risk, outcomes, 3) == pytest.approx(4 / 3)
    assert statistics.lift(risk, outcomes, 0.6) == pytest.approx((4 / 3 / 3) / 0.6)
    assert statistics.recall(risk, outcomes, 0.6) == pytest.approx(4 / 9)
    assert statistics.recall(risk, outcomes, 0.5, amounts) == pytest.approx(0.5 * 50 / 130)
    assert statistics.recall(risk, outcomes, 1.0) == 1.0
    assert np.isnan(statistics.lift(risk, np.zeros(5), 0.1))
    assert np.isnan(statistics.recall(risk, np.zeros(5), 0.1))


def test_paired_recall_agrees_with_the_bootstrap_and_counts_accounts_once() -> None:
    risk_a, risk_b, outcomes, accounts = drawn(11, 2000)
    found = statistics.recall_paired(risk_a, risk_b, outcomes, 0.2, accounts)
    assert found.figure_a == pytest.approx(statistics.recall(risk_a, outcomes, 0.2), abs=EXACT)
    assert found.figure_b == pytest.approx(statistics.recall(risk_b, outcomes, 0.2), abs=EXACT)
    samples = statistics.bootstrap_rows(accounts, repeats=600, seed=2)
    again = statistics.bootstrap_difference(
        lambda rows: (
            statistics.recall(risk_a[rows], outcomes[rows], 0.2),
            statistics.recall(risk_b[rows], outcomes[rows], 0.2),
        ),
        len(outcomes),
        samples,
    )
    assert again.high - again.low == pytest.approx(found.high - found.low, rel=0.25)
    once = statistics.recall_paired(risk_a, risk_b, outcomes, 0.2)
    four = [np.tile(values, 4) for values in (risk_a, risk_b, outcomes)]
    everyone = np.tile(np.arange(2000), 4)
    clustered = statistics.recall_paired(four[0], four[1], four[2], 0.2, everyone)
    assert clustered.standard_error == pytest.approx(once.standard_error, abs=EXACT)


@pytest.mark.parametrize(("count", "total"), [(0, 7), (1, 10), (500, 1000), (9, 9)])
def test_wilson_agrees_with_statsmodels(count: int, total: int) -> None:
    expected = proportion_confint(count, total, method="wilson")
    assert statistics.wilson(count, total) == pytest.approx(expected, abs=EXACT)
    assert np.isnan(statistics.wilson(0, 0).low)


def test_calibration_and_brier_agree_with_statsmodels_and_scikit_learn() -> None:
    generator = np.random.default_rng(5)
    probabilities = generator.beta(2, 8, 500)
    outcomes = (generator.random(500) < probabilities).astype(float)
    odds = np.log(probabilities / (1 - probabilities))
    fitted = statsmodels.api.Logit(outcomes, statsmodels.api.add_constant(odds)).fit(
        disp=False, tol=1e-14, method="newton"
    )
    found = statistics.calibration(probabilities, outcomes)
    assert (found.intercept, found.slope) == pytest.approx(tuple(fitted.params), abs=1e-8)
    assert statistics.brier(probabilities, outcomes) == pytest.approx(
        brier_score_loss(outcomes, probabilities), abs=EXACT
    )
    assert statistics.brier_skill(np.full(500, outcomes.mean()), outcomes) == pytest.approx(0)
    assert np.isnan(statistics.calibration(np.full(500, 0.2), outcomes).slope)
    assert np.isnan(statistics.calibration([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]).slope)


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match="outcomes are 0 or 1"):
        statistics.auc([1.0, 2.0], [0, 2])
    with pytest.raises(ValueError, match="one number per outcome"):
        statistics.auc([1.0, 2.0], [0, 1, 1])
    with pytest.raises(ValueError, match="leave it out"):
        statistics.auc([1.0, float("nan")], [0, 1])
