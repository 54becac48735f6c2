"""Survival, warnings, calibration, metrics, stability and feature impact against libraries.

The SQL of the models runs on made-up rows with ties, nulls and empty groups; lifelines,
statsmodels, scikit-learn, scipy and numpy say what comes out. Figures have ten decimals.
"""

from __future__ import annotations

import bisect
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
import scipy.stats
from scipy.sparse.csgraph import connected_components
from validation_harness import RUN_DATE, Row, ValidationDatabase

TOLERANCE = 1e-9
KEY = {"scoring_version": "v1", "scorecard_key": "standard"}
MONTHS = [date(2025, 1, 5), date(2025, 2, 2), date(2025, 3, 2), date(2025, 4, 6), date(2025, 5, 4)]
BANDS = {1: "critical", 2: "at_risk", 3: "healthy", 4: "thriving"}


@pytest.fixture(scope="module")
def database() -> Iterator[ValidationDatabase]:
    made = ValidationDatabase()
    yield made
    made.close()


def close(found: float | None, expected: float, tolerance: float = TOLERANCE) -> bool:
    """Whether both say the same; NaN of a library is our null."""
    if found is None or np.isnan(expected):
        return found is None and bool(np.isnan(expected))
    return abs(found - expected) <= tolerance


def wilson(count: int, total: int) -> tuple[float, float]:
    interval = scipy.stats.binomtest(count, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def tied_bin(before: int, count: int, total: int) -> int:
    """Bin of the middle row of a run of equal values, by whole numbers."""
    return 1 + 10 * (2 * before + count - 1) // (2 * total)


def labelled(**values: Any) -> Row:
    """An observation of the headline window, followed by nothing unless said."""
    return {
        **KEY, "lead_days": 0, "horizon_days": 60, "is_headline": True, "is_in_force": True,
        "is_out_of_time": True, "segment": "smb", "plan": "growth", "arr_amount": 100.0,
        "band": "healthy", "band_rank": 3, "is_churned": 0, "is_contracted": 0, "is_renewed": 0,
        "is_expanded": 0, **values,
    }  # fmt: skip


# -- survival ------------------------------------------------------------------------------------


def observation(**values: Any) -> Row:
    return {
        **KEY, "as_of_date": MONTHS[0], "is_in_force": True, "is_out_of_time": True,
        "segment": "smb", "plan": "growth", "lifecycle_stage": "active", "tenure_days": 400,
        "arr_amount": 0.0, "follow_up_days": 500, "is_involuntary": False, "is_in_notice": False,
        **values,
    }  # fmt: skip


def survival_world(seed: int) -> list[Row]:
    """Accounts that move through bands; churn on tied days, involuntary ends, notices."""
    rng = random.Random(seed)
    rows = []
    for number in range(rng.choice([40, 150])):
        leaves_on = rng.choice([None, rng.randrange(8) * 30 + 125, rng.randrange(130, 400)])
        band_rank = rng.choice([1, 2, 2, 3, 3, None])
        is_involuntary = leaves_on is not None and rng.random() < 0.1
        for month in MONTHS:
            day = (month - MONTHS[0]).days
            if rng.random() < 0.3:
                band_rank = rng.choice([1, 2, 3, 4, None]) if number % 7 else 4
            rows.append(observation(
                account_id=f"A{number}", as_of_date=month, band_rank=band_rank,
                band=BANDS.get(band_rank or 0, "insufficient_data"), follow_up_days=420 - day,
                days_to_churn=None if leaves_on is None else leaves_on - day,
                is_involuntary=is_involuntary,
                is_in_notice=leaves_on is not None and leaves_on - day < 80 and number % 3 == 0,
            ))  # fmt: skip
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_survival_is_that_of_lifelines(database: ValidationDatabase, seed: int) -> None:
    from lifelines import KaplanMeierFitter

    rows = survival_world(seed)
    database.run({"val_health__observations": rows}, "val_health__survival")
    curves = defaultdict(list)
    for row in database.rows("val_health__survival"):
        curves[row["band"]].append(row)

    starts: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["as_of_date"]):
        if not row["is_in_notice"]:
            starts.setdefault((row["account_id"], row["band"]), row)
    assert set(curves) == {band for _, band in starts}
    for band, curve in curves.items():
        followed = [row for (_, own_band), row in starts.items() if own_band == band]
        durations = [
            row["follow_up_days"] if row["days_to_churn"] is None else row["days_to_churn"]
            for row in followed
        ]
        left = [row["days_to_churn"] is not None and not row["is_involuntary"] for row in followed]
        fitter = KaplanMeierFitter().fit(durations, left)
        shares = fitter.survival_function_["KM_estimate"]
        bounds = fitter.confidence_interval_
        days = {row["duration_days"] for row in curve}
        assert days >= {d for d, has_left in zip(durations, left, strict=True) if has_left}
        assert {d for d in (90, 180, 365) if d <= max(durations)} <= days
        for row in curve:
            day = row["duration_days"]
            assert row["account_count"] == len(followed)
            assert row["at_risk_count"] == sum(d >= day for d in durations)
            at = bisect.bisect_right(list(shares.index), day) - 1
            share = float(shares.iloc[at])
            assert close(row["survival"], share)
            if 0 < share < 1:
                assert close(row["survival_low"], float(bounds.iloc[at, 0]))
                assert close(row["survival_high"], float(bounds.iloc[at, 1]))
            elif share == 0:
                assert (row["survival_low"], row["survival_high"]) == (None, None)
            else:
                low = 1.0 if day == 0 else wilson(row["at_risk_count"], row["at_risk_count"])[0]
                assert close(row["survival_low"], low)
                assert row["survival_high"] == 1


# -- warnings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("churners", "others"), [(0, 10), (29, 1), (30, 10), (41, 100)])
def test_warning_summary_counts_and_takes_the_median(
    database: ValidationDatabase, churners: int, others: int
) -> None:
    rng = random.Random(churners)
    warnings: list[Row] = []
    for number in range(churners + 5):
        lead = rng.choice([None, 3, rng.randint(10, 300), rng.randint(10, 300)])
        warnings.append({
            **KEY, "account_id": f"A{number}", "churn_date": date(2026, 1, 1) + timedelta(number),
            "segment": "smb", "plan": "growth", "arr_amount": 1.0, "lead_days": lead,
            "is_false_green": rng.random() < 0.3 if number < churners else None,
            "warning_kind": "none" if lead is None else "fall", "is_lead_open": False,
            "lead_to_notice_days": None if lead is None else lead - 20,
        })  # fmt: skip
    observations = [
        labelled(
            account_id=f"B{number}", as_of_date=MONTHS[0], band=rng.choice(list(BANDS.values()))
        )
        for number in range(others)
    ]
    database.run(
        {"val_health__churn_warnings": warnings, "int_health__labelled_observations": observations},
        "val_health__warning_summary",
    )
    (row,) = (r for r in database.rows("val_health__warning_summary") if r["slice_kind"] == "all")
    judged = [warning for warning in warnings if warning["is_false_green"] is not None]
    green = sum(warning["is_false_green"] for warning in judged)
    assert (row["churner_count"], row["judged_count"]) == (churners + 5, churners)
    assert row["false_green_count"] == green
    assert row["warned_count"] == sum(w["lead_days"] is not None for w in judged)
    assert row["warned_before_notice_count"] == sum((w["lead_days"] or 0) > 20 for w in judged)
    assert row["has_enough_outcomes"] == (churners >= 30)
    if churners >= 30:
        assert close(row["false_green_share"], green / churners)
        assert close(row["share_low"], wilson(green, churners)[0])
        assert close(row["share_high"], wilson(green, churners)[1])
        assert row["median_lead_days"] == np.median([w["lead_days"] or 0 for w in judged])
    else:
        assert row["false_green_share"] is row["median_lead_days"] is row["share_low"] is None
    below = sum(row["band"] in ("critical", "at_risk") for row in observations)
    assert (row["other_observation_count"], row["other_below_healthy_count"]) == (others, below)


# -- calibration ---------------------------------------------------------------------------------


def calibration_world(seed: int) -> list[Row]:
    """Probabilities with ties, 0, 1 and null, and outcomes that follow them, more or less."""
    rng = random.Random(seed)
    stretch = rng.choice([0.4, 1.0, 2.0])
    rows = []
    for number in range(900):
        log_odds = rng.gauss(-1.5, 1.2)
        if number % 3 == 0:
            log_odds = round(log_odds)
        probability: float | None = 1 / (1 + float(np.exp(-log_odds)))
        is_churned = rng.random() < 1 / (1 + np.exp(-(0.3 + stretch * log_odds)))
        if number % 50 == 0:
            probability = rng.choice([None, 0.0, 1.0])
        account = f"A{number % 300}"
        for horizon in (60, 90):
            rows.append(labelled(
                account_id=account, as_of_date=MONTHS[number // 300], horizon_days=horizon,
                is_headline=horizon == 60, churn_probability=probability,
                is_churned=int(is_churned or (horizon == 90 and number % 17 == 0)),
                is_out_of_time=number >= 300 or seed == 1,
            ))  # fmt: skip
        rows.append({**rows[-1], "lead_days": 30})
    return rows


def fit(probabilities: np.ndarray, outcomes: np.ndarray) -> Any:
    import statsmodels.api as sm

    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    log_odds = np.log(clipped / (1 - clipped))
    return sm.Logit(outcomes, sm.add_constant(log_odds)).fit(disp=0, method="newton", tol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_is_that_of_statsmodels_and_scikit_learn(
    database: ValidationDatabase, seed: int
) -> None:
    from sklearn.metrics import brier_score_loss

    rows = calibration_world(seed)
    methods = [
        {**KEY, "account_id": row["account_id"], "as_of_date": row["as_of_date"],
         "churn_probability_method": "model" if row["is_out_of_time"] else "base_rate"}
        for row in rows if row["lead_days"] == 0 and row["is_headline"]
    ]  # fmt: skip
    database.run(
        {"int_health__labelled_observations": rows, "int_health__score_history": methods},
        "val_health__calibration", "val_health__calibration_summary",
    )  # fmt: skip
    summaries = database.rows("val_health__calibration_summary")
    bins = database.rows("val_health__calibration")
    assert len(summaries) == (4 if seed == 1 else 6)
    for summary in summaries:
        part = [
            row for row in rows
            if row["lead_days"] == 0 and row["horizon_days"] == summary["horizon_days"]
            and row["churn_probability"] is not None
            and summary["slice_value"]
            in ("all", "out_of_time" if row["is_out_of_time"] else "fitted")
        ]  # fmt: skip
        said = np.array([round(row["churn_probability"], 10) for row in part])
        left = np.array([row["is_churned"] for row in part])
        accounts = {row["account_id"] for row in part}
        assert summary["observation_count"] == len(part)
        assert summary["account_count"] == len(accounts)
        assert summary["churner_count"] == len({r["account_id"] for r in part if r["is_churned"]})
        assert summary["has_enough_outcomes"]
        base_rate = left.mean()
        brier = brier_score_loss(left, said)
        assert close(summary["brier"], brier)
        assert close(summary["base_brier"], base_rate * (1 - base_rate))
        assert close(summary["brier_skill"], 1 - brier / (base_rate * (1 - base_rate)))
        assert close(summary["mean_predicted"], said.mean())
        model = fit(said, left)
        assert close(summary["intercept"], model.params[0])
        assert close(summary["slope"], model.params[1])
        half = 1.959963984540054 * model.bse[1] * np.sqrt(len(part) / len(accounts))
        assert close(summary["slope_low"], model.params[1] - half, 1e-7)
        assert close(summary["slope_high"], model.params[1] + half, 1e-7)
        expected = {"out_of_time": "model", "fitted": "base_rate"}.get(
            summary["slice_value"], "model" if seed == 1 else "mixed"
        )
        assert summary["churn_probability_method"] == expected
        own_bins = {
            row["bin"]: row for row in bins
            if all(row[name] == summary[name] for name in ("horizon_days", "slice_value"))
        }  # fmt: skip
        check_bins(own_bins, said, left)


def check_bins(bins: dict[int, Row], said: np.ndarray, left: np.ndarray) -> None:
    values, counts = np.unique(said, return_counts=True)
    before = np.cumsum(counts) - counts
    bin_of = {
        value: tied_bin(int(smaller), int(count), len(said))
        for value, smaller, count in zip(values, before, counts, strict=True)
    }
    own = np.array([bin_of[value] for value in said])
    assert set(bins) == set(own.tolist())
    for number, row in bins.items():
        inside = own == number
        low, high = wilson(int(left[inside].sum()), int(inside.sum()))
        assert row["observation_count"] == inside.sum()
        assert row["churned_observation_count"] == left[inside].sum()
        assert close(row["mean_predicted"], said[inside].mean())
        assert close(row["observed_rate"], left[inside].mean())
        assert close(row["observed_low"], low)
        assert close(row["observed_high"], high)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ([0.2] * 80, [0, 1] * 40),  # one probability
        ([0.1] * 40 + [0.9] * 40, [0] * 40 + [1] * 40),  # complete separation
        ([0.1, 0.5] * 40, [0] * 80),  # nobody left
        ([0.1, 0.5] * 40, [1] * 80),  # everybody left
        ([0.1] * 40 + [0.5] * 40, [0] * 40 + [0, 1] * 20),  # no churn among the low
    ],
)  # fmt: skip
def test_no_slope_where_there_is_no_fit(
    database: ValidationDatabase, said: list[float], left: list[int]
) -> None:
    rows = [
        labelled(account_id=f"A{n}", as_of_date=MONTHS[0], churn_probability=p, is_churned=y)
        for n, (p, y) in enumerate(zip(said, left, strict=True))
    ]
    database.run({"int_health__labelled_observations": rows}, "int_health__calibration_fits")
    assert {
        (row["slope"], row["intercept"], row["slope_standard_error"])
        for row in database.rows("int_health__calibration_fits")
    } == {(None, None, None)}


# -- metrics -------------------------------------------------------------------------------------

METRICS = ["m1", "m2", "m3", "m4", "m5", "constant", "rare"]


def metric_world(seed: int) -> dict[str, list[Row]]:
    """Metrics that hang together in chains, one that is constant, one that few accounts have."""
    rng = random.Random(seed)
    observations, scores, labels = [], [], []
    for number in range(120):
        account = f"A{number}"
        for month in MONTHS[: rng.randint(1, 3)]:
            common, other = rng.gauss(5, 2), rng.gauss(5, 2)
            values = {
                "m1": common, "m2": common + rng.gauss(0, 1.2), "m3": rng.gauss(5, 2),
                "m4": other, "m5": -other + rng.gauss(0, 0.5) + 10, "constant": 7.0,
                "rare": common,
            }  # fmt: skip
            if seed % 2:
                values["m3"] = (values["m2"] + other) / 2  # joins two groups by a chain
            row = labelled(account_id=account, as_of_date=month, is_churned=int(rng.random() < 0.3),
                           is_out_of_time=number % 10 > 0)  # fmt: skip
            labels.append(row)
            observations.append(observation(account_id=account, as_of_date=month, band="healthy"))
            for key, value in values.items():
                is_known = rng.random() < (0.08 if key == "rare" else 0.9)
                scores.append({
                    **KEY, "account_id": account, "as_of_date": month, "purpose": "health",
                    "category_key": "usage", "metric_key": key,
                    "metric_value": round(value, 1) if is_known else rng.choice([None, 3.0]),
                    "metric_score": min(10.0, max(0.0, round(value, 1))) if is_known else None,
                    "value_state": "observed" if is_known else
                    rng.choice(["unknown", "not_applicable", "not_yet_due"]),
                })  # fmt: skip
    return {
        "int_health__labelled_observations": labels,
        "val_health__observations": observations,
        "fct_health__metric_scores": scores,
        "int_health__scorecard_metrics": [
            {**KEY, "metric_key": key, "category_key": "usage", "category_weight": 0.5,
             "metric_weight": 0.25} for key in METRICS
        ],
        "val_health__discrimination": [
            {**KEY, "lead_days": 0, "horizon_days": 60, "is_headline": True, "slice_kind": kind,
             "slice_value": value, "predictor_kind": "metric", "predictor_key": key,
             "auc": auc, "auc_low": auc - 0.1, "auc_high": auc + 0.1}
            for key, auc in zip(METRICS, np.linspace(0.4, 0.7, len(METRICS)).tolist(), strict=True)
            for kind, value in (("period", "out_of_time"),)
        ] + [
            {**KEY, "lead_days": 0, "horizon_days": 60, "is_headline": True, "slice_kind": "all",
             "slice_value": "all", "predictor_kind": "metric", "predictor_key": "m1", "auc": 0.1},
        ],
    }  # fmt: skip


def metric_pairs(world: dict[str, list[Row]]) -> dict[str, dict[str, float]]:
    """Scores by metric and account, of the last month of each account."""
    last: dict[str, date] = {}
    for row in world["val_health__observations"]:
        last[row["account_id"]] = max(last.get(row["account_id"], date.min), row["as_of_date"])
    found: dict[str, dict[str, float]] = {key: {} for key in METRICS}
    for row in world["fct_health__metric_scores"]:
        if row["as_of_date"] == last[row["account_id"]] and row["metric_score"] is not None:
            found[row["metric_key"]][row["account_id"]] = row["metric_score"]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_metrics_and_their_groups(database: ValidationDatabase, seed: int) -> None:
    world = metric_world(seed)
    database.run(world, "val_health__metrics", "val_health__metric_cohorts")
    pairs = metric_pairs(world)
    correlations = {
        (row["metric_key"], row["other_metric_key"]): row
        for row in database.rows("val_health__metric_correlations")
    }
    edges: list[tuple[int, int]] = []
    for (key, other), row in correlations.items():
        both = sorted(set(pairs[key]) & set(pairs[other]))
        x = np.array([pairs[key][account] for account in both])
        y = np.array([pairs[other][account] for account in both])
        assert row["account_count"] == len(both)
        if len(both) < 30 or x.std() == 0 or y.std() == 0:
            assert (row["correlation"], row["correlation_low"], row["is_same_group"]) == (
                None, None, False,
            )  # fmt: skip
            continue
        result = scipy.stats.pearsonr(x, y)
        interval = result.confidence_interval()
        assert close(row["correlation"], result.statistic)
        assert close(row["correlation_low"], interval.low)
        assert close(row["correlation_high"], interval.high)
        assert row["is_same_group"] == (result.statistic >= 0.5)
        if row["is_same_group"]:
            edges.append((METRICS.index(key), METRICS.index(other)))
    assert len(correlations) == sum(
        bool(set(pairs[key]) & set(pairs[other])) for key in METRICS for other in METRICS
        if key != other
    )  # fmt: skip

    graph = np.zeros((len(METRICS), len(METRICS)))
    for first, second in edges:
        graph[first, second] = 1
    _, components = connected_components(graph, directed=False)
    metrics = {row["metric_key"]: row for row in database.rows("val_health__metrics")}
    assert set(metrics) == set(METRICS)
    groups = [metrics[key]["correlation_group"] for key in METRICS]
    for group, component in zip(groups, components, strict=True):
        for other_group, other_component in zip(groups, components, strict=True):
            assert (group == other_group) == (component == other_component)
    assert groups[:2] == [groups[0]] * 2
    assert sorted(set(groups)) == list(range(1, len(set(groups)) + 1))
    check_metric_rows(world, metrics, correlations)
    check_cohorts(world, database.rows("val_health__metric_cohorts"))


def judged_scores(world: dict[str, list[Row]]) -> Iterable[tuple[Row, int]]:
    """Metric rows of the headline window out of time, with the outcome."""
    outcome = {
        (row["account_id"], row["as_of_date"]): row["is_churned"]
        for row in world["int_health__labelled_observations"] if row["is_out_of_time"]
    }  # fmt: skip
    for row in world["fct_health__metric_scores"]:
        key = (row["account_id"], row["as_of_date"])
        if key in outcome:
            yield row, outcome[key]


def check_metric_rows(
    world: dict[str, list[Row]],
    metrics: dict[str, Row],
    correlations: dict[tuple[str, str], Row],
) -> None:
    for key, row in metrics.items():
        own = [(score, left) for score, left in judged_scores(world) if score["metric_key"] == key]
        present = [(s["metric_score"], left) for s, left in own if s["metric_score"] is not None]
        missing = [left for score, left in own if score["value_state"] == "unknown"]
        assert (row["present_count"], row["missing_count"]) == (len(present), len(missing))
        assert close(row["coverage"], len(present) / (len(present) + len(missing)))
        assert close(row["score_spread"], float(np.std([score for score, _ in present])))
        assert row["missing_churned_count"] == sum(missing)
        churned = sum(left for _, left in present)
        assert close(row["present_churn_rate"], churned / len(present))
        assert close(row["present_rate_low"], wilson(churned, len(present))[0])
        assert close(row["missing_rate_high"], wilson(sum(missing), len(missing))[1])
        assert close(row["weight"], 0.125)
        assert close(row["auc"], 0.4 + 0.05 * METRICS.index(key))
        related = [
            (abs(pair["correlation"]), pair["correlation"])
            for (metric, _), pair in correlations.items()
            if metric == key and pair["correlation"] is not None
        ]
        assert row["correlation"] == (max(related)[1] if related else None)


def check_cohorts(world: dict[str, list[Row]], cohorts: list[Row]) -> None:
    for key in METRICS:
        own = [
            (s["metric_value"], s["metric_score"], left) for s, left in judged_scores(world)
            if s["metric_key"] == key and s["metric_score"] is not None
        ]  # fmt: skip
        values = np.array([value for value, _, _ in own])
        scores = np.array([score for _, score, _ in own])
        left = np.array([has_left for _, _, has_left in own])
        before = np.array([(values < value).sum() for value in values])
        counts = np.array([(values == value).sum() for value in values])
        bins = np.array([
            tied_bin(int(b), int(c), len(values)) for b, c in zip(before, counts, strict=True)
        ])  # fmt: skip
        found = {row["cohort"]: row for row in cohorts if row["metric_key"] == key}
        assert set(found) == set(bins.tolist())
        for number, row in found.items():
            inside = bins == number
            assert row["observation_count"] == inside.sum()
            assert row["lowest_value"] == values[inside].min()
            assert row["highest_value"] == values[inside].max()
            assert close(row["mean_value"], values[inside].mean())
            assert close(row["mean_score"], scores[inside].mean())
            assert close(row["churn_rate"], left[inside].mean())
            assert close(row["rate_high"], wilson(int(left[inside].sum()), int(inside.sum()))[1])


# -- stability -----------------------------------------------------------------------------------


def score_world(seed: int, accounts: int) -> list[Row]:
    """Weekly scores with ties and gaps, and bands that follow them to and fro."""
    rng = random.Random(seed)
    rows = []
    weeks = [MONTHS[0] + timedelta(7 * week) for week in range(18)]
    for number in range(accounts):
        level = rng.choice([20.0, 55.0, 62.0, 75.0, 100.0])
        band_rank, since = None, weeks[0]
        for week in weeks:
            level = min(100.0, max(0.0, level + rng.choice([0, 0, -5, 5, -12, 12])))
            if rng.random() < 0.05:
                continue
            has_score = rng.random() > 0.05
            found = 1 + (level >= 41) + (level >= 61) + (level >= 81) if has_score else None
            if found != band_rank or week == weeks[0]:
                band_rank, since = found, week
            rows.append({
                **KEY, "account_id": f"A{number}", "as_of_date": week,
                "health_score_exact": level if has_score else None,
                "band": BANDS.get(found or 0, "insufficient_data"), "band_rank": found,
                "band_since_date": since,
            })  # fmt: skip
    return rows


def psi(scores: list[float], earlier: list[float]) -> tuple[float, int]:
    edges = np.arange(0, 101, 10)
    counts = np.array([np.histogram(part, edges)[0] for part in (scores, earlier)])
    counts = counts[:, counts.sum(axis=0) > 0]
    shares = np.maximum(counts, 0.5) / np.array([[len(scores)], [len(earlier)]])
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum()), counts.shape[1]


def flaps_until(rows: list[Row], day: date) -> int:
    """Changes back within 28 days in the 365 days up to a day, account by account."""
    count = 0
    per_account: dict[str, list[tuple[date, int]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["as_of_date"]):
        stays = per_account[row["account_id"]]
        if row["band_rank"] is not None and (not stays or stays[-1][1] != row["band_rank"]):
            stays.append((row["as_of_date"], row["band_rank"]))
    for stays in per_account.values():
        for (_, first), (left_on, _), (back_on, last) in zip(
            stays, stays[1:], stays[2:], strict=False
        ):
            is_counted = day - timedelta(365) < back_on <= day
            count += first == last and (back_on - left_on).days <= 28 and is_counted
    return count


@pytest.mark.parametrize(("seed", "accounts"), [(0, 40), (1, 120), (2, 520)])
def test_stability_is_that_of_numpy_and_scipy(
    database: ValidationDatabase, seed: int, accounts: int
) -> None:
    rows = score_world(seed, accounts)
    monthly = [row for row in rows if row["as_of_date"] in MONTHS]
    database.run(
        {"int_health__score_history": rows, "int_health__monthly_scores": monthly},
        "val_health__stability",
    )
    found = sorted(database.rows("val_health__stability"), key=lambda row: row["as_of_date"])
    scores: dict[date, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["health_score_exact"] is not None:
            scores[row["as_of_date"]][row["account_id"]] = row["health_score_exact"]
    months = [month for month in MONTHS if scores[month]]
    assert [row["as_of_date"] for row in found] == months
    for number, row in enumerate(found):
        own = scores[row["as_of_date"]]
        assert row["account_count"] == len(own)
        week_before = scores.get(row["as_of_date"] - timedelta(7), {})
        both = sorted(set(own) & set(week_before))
        if both:
            expected = scipy.stats.spearmanr(
                [own[account] for account in both], [week_before[account] for account in both]
            ).statistic
            assert close(row["rank_correlation_7_days"], float(expected))
        else:
            assert row["rank_correlation_7_days"] is None
        assert row["flap_count"] == flaps_until(rows, row["as_of_date"])
        if number == 0:
            assert row["psi"] is row["psi_critical"] is row["is_shifted"] is None
            assert row["flaps_per_account_year"] is None
            continue
        earlier = scores[months[number - 1]]
        index, bins = psi(list(own.values()), list(earlier.values()))
        critical = 0.25 if min(len(own), len(earlier)) >= 500 else (
            scipy.stats.chi2.ppf(0.95, bins - 1) * (1 / len(own) + 1 / len(earlier))
        )  # fmt: skip
        assert close(row["psi"], index)
        assert close(row["psi_critical"], float(critical))
        assert row["is_shifted"] == (index > critical)
        banded = [r for r in rows if r["band_rank"] is not None and r["as_of_date"] > MONTHS[0]]
        years = 7 * sum(r["as_of_date"] <= row["as_of_date"] for r in banded) / 365
        assert close(row["account_years"], years)
        assert close(row["flaps_per_account_year"], row["flap_count"] / years)


# -- feature impact ------------------------------------------------------------------------------


def feature_world(seed: int) -> dict[str, list[Row]]:
    """Features of which some go with churn, some are used by all or nobody, some few could use."""
    rng = random.Random(seed)
    shares = {"f1": (0.3, 0.7), "f2": (0.5, 0.55), "all": (1, 1), "none": (0, 0), "big": (0.5, 0.9),
              "f3": (0.4, 0.6), "event": (0.45, 0.5)}  # fmt: skip
    accounts, adoption = [], []
    for outcome in ("churn", "renewal", "expansion"):
        for number in range(rng.randint(90, 300)):
            has_outcome = rng.random() < 0.4
            plan = rng.choice(["small", "small", "medium", "large"])
            row = {"account_id": f"A{number}", "outcome": outcome, "as_of_date": MONTHS[0],
                   "plan": plan, "has_outcome": has_outcome}  # fmt: skip
            accounts.append(row)
            for feature, (with_share, without_share) in shares.items():
                if rng.random() < (with_share if has_outcome else without_share):
                    adoption.append({**row, "feature_key": feature})
    plans: list[tuple[str, str | None]] = [(key, None) for key in ("f1", "f2", "all", "none")]
    plans += [("big", "large"), ("f3", "medium"), ("f3", "small"), ("f2", "small")]
    return {
        "int_health__feature_accounts": accounts,
        "int_health__feature_adoption": adoption,
        "int_health__valid_product_features": [
            {"event_name": f"use_{key}", "feature_key": key, "plan": plan} for key, plan in plans
        ],
    }  # fmt: skip


def is_open(world: dict[str, list[Row]], feature: str, plan: str) -> bool:
    plans = [
        row["plan"] for row in world["int_health__valid_product_features"]
        if row["feature_key"] == feature
    ]  # fmt: skip
    return not plans or None in plans or plan in plans


@pytest.mark.parametrize("seed", range(4))
def test_feature_impact_is_that_of_statsmodels(database: ValidationDatabase, seed: int) -> None:
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

    world = feature_world(seed)
    database.run(world, "bi_health__feature_impact")
    rows = database.rows("bi_health__feature_impact")
    assert len(rows) == 3 * 7
    for row in rows:
        feature = row["feature_key"]
        for side, has_outcome in (("with", True), ("without", False)):
            for name, column in (
                ("int_health__feature_accounts", f"{side}_count"),
                ("int_health__feature_adoption", f"{side}_adopter_count"),
            ):
                assert row[column] == sum(
                    own["outcome"] == row["outcome"]
                    and own["has_outcome"] == has_outcome
                    and own.get("feature_key", feature) == feature
                    and is_open(world, feature, own["plan"])
                    for own in world[name]
                )
        counts = [row["with_adopter_count"], row["without_adopter_count"]]
        totals = [row["with_count"], row["without_count"]]
        assert row["has_enough_outcomes"] == (min(totals) >= 30)
        if not row["has_enough_outcomes"]:
            assert row["difference"] is row["difference_low"] is row["p_value"] is None
            assert row["q_value"] is None
            assert not row["is_different"]
            continue
        low, high = confint_proportions_2indep(
            counts[0], totals[0], counts[1], totals[1], method="newcomb", compare="diff"
        )
        assert close(row["difference"], counts[0] / totals[0] - counts[1] / totals[1])
        assert close(row["difference_low"], low)
        assert close(row["difference_high"], high)
        if len(set(counts)) > 1 or counts[0] not in (0, totals[0]):
            pooled = sum(counts) / sum(totals)
            expected = proportions_ztest(counts, totals)[1] if 0 < pooled < 1 else 1.0
            assert close(row["p_value"], float(expected))
    tested = [row for row in rows if row["p_value"] is not None]
    assert len(tested) < len(rows)
    p_values = [row["p_value"] for row in tested]
    expected_q = scipy.stats.false_discovery_control(p_values)
    rejected, corrected, _, _ = multipletests(p_values, alpha=0.05, method="fdr_bh")
    for row, q_value, other_q_value, is_different in zip(
        tested, expected_q, corrected, rejected, strict=True
    ):
        assert close(row["q_value"], float(q_value), 1e-8)
        assert close(row["q_value"], float(other_q_value), 1e-8)
        assert row["is_different"] == is_different
        assert row["remark"].startswith("observational")


def test_feature_accounts_count_once_on_the_dates_of_the_others(
    database: ValidationDatabase,
) -> None:
    """Every account once per outcome, on a month of its own life, in the proportion of the rare."""
    rng = random.Random(5)
    months = [date(2025, 4, 6) + timedelta(28 * number) for number in range(12)]
    labels, observations = [], []
    for number in range(600):
        account, joined = f"A{number}", rng.randrange(12)
        leaves = rng.randrange(joined, 12) if rng.random() < 0.2 else None
        for index, month in enumerate(months):
            if index < joined or (leaves is not None and index > leaves + 1):
                continue
            labels.append(labelled(
                account_id=account, as_of_date=month, is_renewed=int(rng.random() < 0.2),
                is_expanded=int(number % 9 == 0 and index % 5 == 0),
                is_churned=int(leaves is not None and index >= leaves),
            ))  # fmt: skip
            observations.append(observation(
                account_id=account, as_of_date=month, tenure_days=28 * (index - joined) + 30 * 2,
                band="healthy",
            ))  # fmt: skip
    database.run(
        {
            "int_health__labelled_observations": labels,
            "val_health__observations": observations,
            "int_health__usage_account_days": [
                {"account_id": "A0", "usage_date": months[0], "event_name": "login",
                 "event_count": 1, "duration_seconds": 0.0}
            ],
        },
        "int_health__feature_accounts",
    )  # fmt: skip
    rows = database.rows("int_health__feature_accounts")
    by_key = {(row["account_id"], row["as_of_date"]): row for row in labels}
    tenure = {(row["account_id"], row["as_of_date"]): row["tenure_days"] for row in observations}
    for outcome, column in (("churn", "is_churned"), ("expansion", "is_expanded")):
        own = [row for row in rows if row["outcome"] == outcome]
        assert len({row["account_id"] for row in own}) == len(own)
        eligible = {
            key: row for key, row in by_key.items()
            if tenure[key] >= 90 and (key[1] - months[0]).days >= 90
        }  # fmt: skip
        rare = {
            account: min(m for a, m in eligible if a == account and by_key[a, m][column])
            for account in {key[0] for key, row in eligible.items() if row[column]}
        }  # fmt: skip
        assert {r["account_id"]: r["as_of_date"] for r in own if r["has_outcome"]} == rare
        others = [row for row in own if not row["has_outcome"]]
        assert all((row["account_id"], row["as_of_date"]) in eligible for row in others)
        assert {row["account_id"] for row in others} == {
            account for account, month in eligible if account not in rare and month in rare.values()
        }
        assert {row["as_of_date"] for row in others} <= set(rare.values())
        if outcome == "churn":  # late joiners have late months only, the rest follows the rare
            early = [r for r in others if (r["account_id"], months[4]) in eligible]
            shares = [
                np.mean([month in months[:8] for month in part])
                for part in (list(rare.values()), [row["as_of_date"] for row in early])
            ]
            assert abs(shares[0] - shares[1]) < 0.25
    renewals = [row for row in rows if row["outcome"] == "renewal"]
    for row in renewals:
        label = by_key[row["account_id"], row["as_of_date"]]
        assert label["is_renewed"] if row["has_outcome"] else label["is_churned"]
    assert max(months) < RUN_DATE
