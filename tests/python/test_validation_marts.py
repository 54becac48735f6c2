"""The validation marts against scikit-learn, statsmodels and plain computations of our own.

Random observations, full of ties, unknown values, slices of one class and slices with too few
churners, go through the compiled SQL; every figure is then computed again from the labelled
observations, by other means.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm
from scipy.stats import norm, t
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint
from validation_harness import ValidationDatabase, compiled_sql

from customer_health import statistics

Row = dict[str, Any]
MONTHS = [
    date(2025, 7, 6), date(2025, 8, 3), date(2025, 9, 7), date(2025, 10, 5), date(2025, 11, 2),
    date(2025, 12, 7), date(2026, 1, 4), date(2026, 2, 1),
]  # fmt: skip
WINDOWS = [(0, 60), (30, 60), (60, 60), (90, 60), (0, 90), (30, 90), (60, 90), (90, 90)]
HEADLINE = (0, 60)
FITTED_TO = date(2025, 10, 5)
FEWEST = 5
CAPACITY = 0.15
LIMITS = {
    "fewest_churners": FEWEST,
    "capacity_share": CAPACITY,
    "monotone_gate_accounts": 300,
    "trend_points": 5,
    "weak_auc": 0.6,
    "usable_auc": 0.7,
    "suspicious_auc": 0.85,
    "leaking_metric_auc": 0.9,
    "largest_lead_fall": 0.15,
}
BANDS = {"critical": 1, "at_risk": 2, "healthy": 3, "thriving": 4, "insufficient_data": None}
MONTHLY_COLUMNS = (
    "account_id", "as_of_date", "scoring_version", "scorecard_key", "is_in_force",
    "health_score", "health_score_exact", "score_without_churn_risk", "churn_probability",
)  # fmt: skip
WINDOW_KEY = ("scoring_version", "scorecard_key", "lead_days", "horizon_days")
SLICE_KEY = (*WINDOW_KEY, "slice_kind", "slice_value")
PREDICTOR_KEY = (*SLICE_KEY, "predictor_kind", "predictor_key")


def random_observations(generator: random.Random, account_count: int) -> list[Row]:
    """Observations of two versions whose scores say a little about the churn that follows."""
    rows = []
    for number in range(account_count):
        plan = generator.choice(["starter", "growth", "(none)"])
        churned_on = None
        if generator.random() < 0.4:
            churned_on = MONTHS[0] + timedelta(days=generator.randint(0, 320))
        is_involuntary = churned_on is not None and generator.random() < 0.15
        for month in MONTHS:
            if churned_on is not None and month > churned_on:
                break
            for version in ("v1", "v2"):
                if generator.random() < 0.1:
                    continue
                far = 300 if churned_on is None else (churned_on - month).days
                score = 20 + 0.15 * far + generator.gauss(0, 15)
                score = min(100.0, max(0.0, score))
                band = "insufficient_data"
                is_known = generator.random() < 0.9
                if is_known:
                    band = list(BANDS)[min(3, int(score // 20))]
                rows.append(
                    {
                        "account_id": f"A{number}",
                        "as_of_date": month,
                        "scoring_version": version,
                        "scorecard_key": "standard",
                        "is_in_force": version == "v1",
                        "is_out_of_time": version == "v1" or month >= FITTED_TO,
                        "segment": generator.choice(["smb", "enterprise"]),
                        "plan": plan,
                        "tenure_days": 100,
                        "arr_amount": generator.choice([0.0, 1200.0, generator.uniform(1, 9e5)]),
                        "health_score": math.floor(score + 0.5) if is_known else None,
                        "health_score_exact": score if is_known else None,
                        "score_without_churn_risk": score * generator.choice([1, 0.9])
                        if is_known and generator.random() < 0.95
                        else None,
                        "band": band,
                        "band_rank": BANDS[band],
                        "churn_probability": generator.choice([None, 0.1, 0.2, generator.random()]),
                        "follow_up_days": 300 - (month - MONTHS[0]).days,
                        "churn_date": churned_on,
                        "days_to_churn": None if churned_on is None else far,
                        "is_involuntary": is_involuntary,
                        "is_in_notice": generator.random() < 0.05,
                    }
                )
    return rows


def random_metrics(generator: random.Random, observations: Iterable[Row]) -> list[Row]:
    """Three metrics in two categories for each observation; ties and unknown values are common."""
    rows = []
    for row in observations:
        base = (row["health_score"] or 50) / 10
        for category, metric in (("usage", "logins"), ("usage", "adoption"), ("money", "mrr")):
            value: float | None = min(10.0, max(0.0, base + generator.gauss(0, 3)))
            if metric == "logins" and value is not None:
                value = float(round(value))
            if generator.random() < 0.2:
                value = None
            rows.append(
                {
                    "account_id": row["account_id"],
                    "as_of_date": row["as_of_date"],
                    "scoring_version": row["scoring_version"],
                    "scorecard_key": "standard",
                    "purpose": "health",
                    "category_key": category,
                    "metric_key": metric,
                    "category_score": base if category == "usage" else value,
                    "metric_score": value,
                }
            )
    return rows


def random_outcomes(generator: random.Random, observations: Iterable[Row]) -> list[Row]:
    """Renewals and changes of contracts, several for some accounts."""
    accounts = sorted({row["account_id"] for row in observations})
    return [
        {
            "account_id": account,
            "outcome": generator.choice(["renewal", "expansion", "contraction"]),
            "outcome_date": MONTHS[0] + timedelta(days=generator.randint(0, 310)),
            "is_involuntary": False,
        }
        for account in accounts
        for _ in range(generator.randint(0, 4))
    ]


def in_window(row: Row, lead: int, horizon: int) -> int | None:
    """1 churned, 0 stayed, None does not count: the definition, row by row."""
    end = lead + horizon
    days = row["days_to_churn"]
    if row["follow_up_days"] < end or row["is_in_notice"]:
        return None
    if days is not None and (days < lead or (row["is_involuntary"] and days < end)):
        return None
    return int(days is not None and days < end)


class World:
    """A random world, what the SQL says of it and what it is made of."""

    def __init__(self, seed: int, account_count: int) -> None:
        generator = random.Random(seed)
        self.observations = random_observations(generator, account_count)
        self.metrics = random_metrics(generator, self.observations)
        self.outcomes = random_outcomes(generator, self.observations)
        self.history = [
            {
                **{name: row[name] for name in ("account_id", "scoring_version", "scorecard_key")},
                "as_of_date": row["as_of_date"] - timedelta(days=28),
                "health_score_exact": generator.choice(
                    [
                        None,
                        row["health_score_exact"],
                        (row["health_score"] or 50) + generator.choice([-5, 4, 5]),
                        generator.uniform(0, 100),
                    ]
                ),
            }
            for row in self.observations
            if generator.random() < 0.9
        ]
        self.database = ValidationDatabase()
        self.database.run(
            {
                "val_health__observations": self.observations,
                "fct_health__metric_scores": self.metrics,
                "int_health__outcomes": self.outcomes,
                "int_health__score_history": self.history,
                "int_health__build_dates": [],  # predictors are made for the first time
                "int_health__monthly_scores": [
                    {name: row[name] for name in MONTHLY_COLUMNS} for row in self.observations
                ],
                "validation_limits": [
                    {"limit_key": key, "value": value} for key, value in LIMITS.items()
                ],
                "validation_windows": [
                    {
                        "lead_days": lead,
                        "horizon_days": horizon,
                        "is_headline": (lead, horizon) == HEADLINE,
                    }
                    for lead, horizon in WINDOWS
                ],
            },
            "val_health__discrimination",
            "val_health__band_outcomes",
            "val_health__band_order",
            "val_health__trend_agreement",
            "val_health__base_trend",
            "val_health__verdict",
        )

    def rows(self, name: str) -> list[Row]:
        """What a model says."""
        return self.database.rows(name)

    def close(self) -> None:
        """Release the database."""
        self.database.close()

    def labelled(self) -> Iterator[tuple[tuple[Any, ...], Row, int]]:
        """Window key, observation and label of everything that counts."""
        for lead, horizon in WINDOWS:
            for row in self.observations:
                label = in_window(row, lead, horizon)
                if label is not None:
                    yield (row["scoring_version"], "standard", lead, horizon), row, label

    def predictors(self) -> dict[tuple[Any, ...], list[tuple[str, str, float]]]:
        """Kind, key and value of the known predictors of each observation."""
        metrics: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for metric in self.metrics:
            metrics[observation_key(metric)].append(metric)
        found = {}
        for row in self.observations:
            key = observation_key(row)
            known = [metric for metric in metrics[key] if metric["metric_score"] is not None]
            values: list[tuple[str, str, float | None]] = [
                ("metric", metric["metric_key"], round(metric["metric_score"], 3))
                for metric in known
            ]
            categories = {m["category_key"]: m["category_score"] for m in metrics[key]}
            values += [
                ("category", category, None if score is None else round(score, 3))
                for category, score in categories.items()
            ]
            if row["health_score"] is not None:
                without, risk = row["score_without_churn_risk"], row["churn_probability"]
                mean = np.mean([metric["metric_score"] for metric in known]) if known else None
                values += [
                    ("score", "health_score", row["health_score"]),
                    ("score", "score_without_churn_risk",
                     None if without is None else math.floor(without + 0.5)),
                    ("score", "churn_probability", None if risk is None else round(1 - risk, 4)),
                    ("score", "equal_weights",
                     None if mean is None else math.floor(10 * mean + 0.5)),
                ]  # fmt: skip
            found[key] = [(kind, name, value) for kind, name, value in values if value is not None]
        return found


def observation_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What names an observation."""
    return (row["account_id"], row["as_of_date"], row["scoring_version"])


def slices_of(row: Row) -> list[tuple[str, str]]:
    """The slices that an observation belongs to, plan_stratified apart."""
    return [
        ("all", "all"),
        ("period", "out_of_time" if row["is_out_of_time"] else "fitted"),
        ("month", row["as_of_date"].isoformat()),
        ("segment", row["segment"]),
        ("plan", row["plan"]),
    ]


@pytest.fixture(scope="module", params=[(1, 120), (2, 60), (3, 25)], ids=str)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Worlds of three sizes; in the smallest most slices have too few churners."""
    made = World(*request.param)
    yield made
    made.close()


def keyed(rows: Iterable[Row], columns: Sequence[str]) -> dict[tuple[Any, ...], Row]:
    """Rows by their key. Fails when a key stands twice."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[column] for column in columns)
        assert key not in found, key
        found[key] = row
    return found


def caught(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Weight expected among the riskiest share of the rows when ties are drawn at random.

    By places, and not by running sums as in the SQL: of the rows that tie, all are as likely to
    stand at each of their places, so that the chance of one to be taken is the mean over them.
    """
    room = share * len(values)
    chances = {}
    for value in np.unique(values):
        first, ties = int((values < value).sum()), int((values == value).sum())
        chances[value] = np.clip(room - np.arange(first, first + ties), 0, 1).mean()
    return float(
        sum(weight * chances[value] for value, weight in zip(values, weights, strict=True))
    )


def hanley_mcneil(auc: float, churners: int, stayers: int) -> tuple[float | None, float | None]:
    """The interval of Hanley and McNeil (1982), from accounts."""
    if churners * stayers == 0:
        return None, None
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = np.array(
        [auc * (1 - auc), (churners - 1) * (q1 - auc**2), (stayers - 1) * (q2 - auc**2)]
    ).sum() / (churners * stayers)
    margin = float(norm.ppf(0.975) * math.sqrt(max(variance, 0)))
    return max(0.0, auc - margin), min(1.0, auc + margin)


def close(found: float | None, wanted: float | None) -> bool:
    """Whether two figures agree to 1e-9, or are both unknown."""
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= 1e-9


def wanted_figures(values: np.ndarray, labels: np.ndarray, arr: np.ndarray) -> Row:
    """The figures of one slice, by scikit-learn and row by row."""
    churned_arr = float((arr * labels).sum())
    is_mixed = 0 < labels.sum() < len(labels)
    return {
        "auc": float(roc_auc_score(1 - labels, values)) if is_mixed else None,
        "lift_at_10_percent": caught(values, labels, 0.1) / (0.1 * labels.sum()),
        "lift_at_20_percent": caught(values, labels, 0.2) / (0.2 * labels.sum()),
        "recall_at_capacity": caught(values, labels, CAPACITY) / labels.sum(),
        "arr_recall_at_capacity": caught(values, labels * arr, CAPACITY) / churned_arr
        if churned_arr
        else None,
    }


def test_discrimination_agrees_with_scikit_learn(world: World) -> None:
    """AUC, interval, lift and recall of every predictor, window and slice; counts of accounts."""
    predictors = world.predictors()
    slices: dict[tuple[Any, ...], list[tuple[Row, int, float]]] = defaultdict(list)
    for window, row, label in world.labelled():
        for kind, name, value in predictors[observation_key(row)]:
            for slice_kind, slice_value in slices_of(row):
                if kind == "score" or slice_kind in ("all", "period"):
                    slices[*window, slice_kind, slice_value, kind, name].append((row, label, value))
    found = keyed(world.rows("val_health__discrimination"), PREDICTOR_KEY)
    stratified = {key for key in found if key[4] == "plan_stratified"}
    assert set(found) - stratified == set(slices)
    figures, empty = 0, 0
    for key, members in slices.items():
        row = found[key]
        labels = np.array([label for _, label, _ in members])
        values = np.array([value for _, _, value in members], dtype=float)
        arr = np.array([one["arr_amount"] for one, _, _ in members])
        accounts = {one["account_id"] for one, _, _ in members}
        churners = {one["account_id"] for one, label, _ in members if label}
        assert row["is_headline"] is (key[2:4] == HEADLINE)
        assert row["observation_count"] == len(members)
        assert row["churned_observation_count"] == labels.sum()
        assert row["account_count"] == len(accounts) and row["churner_count"] == len(churners)
        assert close(row["base_rate"], float(labels.mean()))
        assert row["has_enough_outcomes"] is (len(churners) >= FEWEST)
        names = ("auc", "auc_low", "auc_high", "lift_at_10_percent", "lift_at_20_percent",
                 "recall_at_capacity", "arr_recall_at_capacity")  # fmt: skip
        if len(churners) < FEWEST:
            empty += 1
            assert [row[name] for name in names] == [None] * len(names), key
            continue
        figures += 1
        wanted = wanted_figures(values, labels, arr)
        low_high: tuple[float | None, float | None] = (None, None)
        if wanted["auc"] is not None:
            low_high = hanley_mcneil(wanted["auc"], len(churners), len(accounts) - len(churners))
        wanted |= {"auc_low": low_high[0], "auc_high": low_high[1]}
        differences = {n: (row[n], wanted[n]) for n in names if not close(row[n], wanted[n])}
        assert not differences, (key, differences)
    assert empty and (figures or len(world.observations) < 500)


def test_plan_stratified_compares_within_plans_only(world: World) -> None:
    """Every pair of a churner and a stayer of the same plan, one by one."""
    predictors = world.predictors()
    members: dict[tuple[Any, ...], list[tuple[Row, int, float]]] = defaultdict(list)
    for window, row, label in world.labelled():
        for kind, name, value in predictors[observation_key(row)]:
            if kind == "score":
                members[*window, "plan_stratified", "all", kind, name].append((row, label, value))
    rows = world.rows("val_health__discrimination")
    found = keyed([row for row in rows if row["slice_kind"] == "plan_stratified"], PREDICTOR_KEY)
    assert set(found) == set(members)
    for key, observations in members.items():
        won = pairs = 0.0
        for churner, is_churned, low in observations:
            for stayer, is_lost, high in observations:
                if is_churned and not is_lost and churner["plan"] == stayer["plan"]:
                    pairs += 1
                    won += 1.0 if low < high else 0.5 if low == high else 0.0
        row = found[key]
        assert row["observation_count"] == len(observations)
        assert row["lift_at_10_percent"] is None
        if row["has_enough_outcomes"]:
            assert close(row["auc"], won / pairs if pairs else None), key
            wanted = hanley_mcneil(
                row["auc"], row["churner_count"], row["account_count"] - row["churner_count"]
            )
            assert close(row["auc_low"], wanted[0]) and close(row["auc_high"], wanted[1])


def test_the_python_statistics_agree_as_well(world: World) -> None:
    """customer_health.statistics, by which reports and fits go, says what the SQL says."""
    found = keyed(world.rows("val_health__discrimination"), PREDICTOR_KEY)
    members: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
    for window, row, label in world.labelled():
        if row["health_score"] is not None:
            members[window].append((label, row["health_score"]))
    for window, pairs in members.items():
        row = found[*window, "all", "all", "score", "health_score"]
        labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
        if row["has_enough_outcomes"]:
            assert close(row["auc"], statistics.auc(-scores, labels))
            assert close(row["lift_at_10_percent"], statistics.lift(-scores, labels, 0.1))


def check_rates(rows: Iterable[Row], wanted: Mapping[tuple[Any, ...], list[int]],
                columns: Sequence[str]) -> None:  # fmt: skip
    """Counts, rates and Wilson's intervals of statsmodels."""
    found = keyed(rows, columns)
    assert set(found) == set(wanted)
    for key, labels in wanted.items():
        row = found[key]
        assert row["observation_count"] == len(labels) and row["outcome_count"] == sum(labels), key
        low, high = proportion_confint(sum(labels), len(labels), method="wilson")
        for name, value in (("rate", np.mean(labels)), ("rate_low", low), ("rate_high", high)):
            assert close(row[name], float(value)), (key, name)


def outcome_labels(world: World) -> Callable[[tuple[Any, ...], Row, int], dict[str, int]]:
    """A function that says what an observation was followed by in a window."""
    dated: dict[str, list[Row]] = defaultdict(list)
    for outcome in world.outcomes:
        dated[outcome["account_id"]].append(outcome)

    def labels(window: tuple[Any, ...], row: Row, churned: int) -> dict[str, int]:
        first = row["as_of_date"] + timedelta(days=window[2])
        last = first + timedelta(days=window[3] - 1)
        within = {
            outcome["outcome"]
            for outcome in dated[row["account_id"]]
            if first <= outcome["outcome_date"] <= last
        }
        others = ("contraction", "renewal", "expansion")
        return {"churn": churned, **{name: int(name in within) for name in others}}

    return labels


def test_band_outcomes_agree_with_statsmodels(world: World) -> None:
    """All four outcomes, counts and amounts, whole and by period."""
    labels_of = outcome_labels(world)
    wanted: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    amounts: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for window, row, label in world.labelled():
        for outcome, happened in labels_of(window, row, label).items():
            for slice_ in slices_of(row)[:2]:
                key = (*window, *slice_, outcome, row["band"])
                wanted[key].append(happened)
                amounts[key].append(row["arr_amount"])
    rows = world.rows("val_health__band_outcomes")
    columns = (*SLICE_KEY, "outcome", "band")
    check_rates(rows, wanted, columns)
    for key, row in keyed(rows, columns).items():
        assert row["band_rank"] == BANDS[row["band"]]
        assert row["arr_amount"] == pytest.approx(sum(amounts[key]), rel=1e-12)
        followed = [a for a, label in zip(amounts[key], wanted[key], strict=True) if label]
        assert row["outcome_arr_amount"] == pytest.approx(sum(followed), rel=1e-12)


def test_band_order_agrees_with_a_regression_on_ranks(world: World) -> None:
    """Cochran-Armitage, squared, is n r squared of churn and rank; verdicts by their rules."""
    members: dict[tuple[Any, ...], list[tuple[int, int, str]]] = defaultdict(list)
    for window, row, label in world.labelled():
        if row["band_rank"] is not None:
            for slice_ in slices_of(row)[:2]:
                key = (*window, *slice_)
                members[key].append((row["band_rank"], label, row["account_id"]))
    found = keyed(world.rows("val_health__band_order"), SLICE_KEY)
    assert set(found) == set(members)
    verdicts = set()
    for key, observations in members.items():
        row = found[key]
        ranks = np.array([rank for rank, _, _ in observations], dtype=float)
        labels = np.array([label for _, label, _ in observations], dtype=float)
        churners = {account for _, label, account in observations if label}
        assert row["churner_count"] == len(churners)
        assert row["observation_count"] == len(observations)
        verdicts.add(row["verdict_key"])
        if len(churners) < FEWEST:
            assert (row["verdict_key"], row["trend_z"]) == ("not_enough_outcomes", None)
            continue
        z = None
        if ranks.std() and labels.std():
            z = float(np.corrcoef(ranks, labels)[0, 1] * math.sqrt(len(ranks)))
        assert close(row["trend_z"], z), key
        if z is not None:
            assert row["trend_p_value"] == pytest.approx(2 * norm.sf(abs(z)), abs=1e-9)
        bands = [labels[ranks == rank] for rank in sorted(set(ranks))]
        rates = [float(band.mean()) for band in bands]
        is_monotone = all(bool(a >= b) for a, b in itertools.pairwise(rates))
        assert row["is_monotone"] is is_monotone
        bounds = [proportion_confint(b.sum(), len(b), method="wilson") for b in bands]
        is_clear = any(
            bool(bounds[better][0] > bounds[worse][1])
            for better in range(len(bands))
            for worse in range(better)
        )
        wanted = "not_distinguishable"
        if is_monotone:
            wanted = "monotone"
        elif is_clear and len(observations) >= LIMITS["monotone_gate_accounts"]:
            wanted = "not_monotone"
        elif z is not None and z < -norm.ppf(0.975):
            wanted = "trend"
        assert row["verdict_key"] == wanted, key
    assert len(verdicts) > 1


def test_trend_agreement_agrees_with_statsmodels(world: World) -> None:
    """Falling, level and rising scores and what followed them."""
    earlier = {observation_key(row): row["health_score_exact"] for row in world.history}
    labels_of = outcome_labels(world)
    wanted: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for window, row, label in world.labelled():
        account, day, version = observation_key(row)
        before = earlier.get((account, day - timedelta(days=28), version))
        if row["health_score"] is None or before is None:
            continue
        change = row["health_score"] - math.floor(round(before, 10) + 0.5)
        trend = "falling" if change <= -5 else "rising" if change >= 5 else "level"
        for outcome, happened in labels_of(window, row, label).items():
            for slice_ in slices_of(row)[:2]:
                wanted[*window, *slice_, trend, outcome].append(happened)
    rows = world.rows("val_health__trend_agreement")
    check_rates(rows, wanted, (*SLICE_KEY, "trend", "outcome"))


def test_base_trend_agrees_with_least_squares(world: World) -> None:
    """The slope and the interval of Student of the version in force as last."""
    months: dict[date, list[float]] = defaultdict(list)
    for row in world.observations:
        if row["scoring_version"] == "v1" and row["health_score_exact"] is not None:
            months[row["as_of_date"]].append(row["health_score_exact"])
    days = sorted(months)
    means = np.array([np.mean(months[day]) for day in days])
    quarters = np.array([(day - days[0]).days / 90 for day in days])
    fit = sm.OLS(means, sm.add_constant(quarters)).fit()
    low, high = fit.conf_int()[1]
    (row,) = world.rows("val_health__base_trend")
    assert row["scoring_version"] == "v1" and row["month_count"] == len(days)
    assert (row["from_date"], row["to_date"]) == (days[0], days[-1])
    assert row["first_mean_score"] == pytest.approx(means[0], abs=1e-9)
    assert row["last_mean_score"] == pytest.approx(means[-1], abs=1e-9)
    assert row["points_per_90_days"] == pytest.approx(fit.params[1], abs=1e-8)
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-8)


def test_the_verdict_repeats_the_figures(world: World) -> None:
    """Every figure of the verdict is that of the mart behind it, out of time."""
    figures = keyed(world.rows("val_health__discrimination"), PREDICTOR_KEY)
    verdicts = keyed(world.rows("val_health__verdict"), ("scoring_version",))
    assert set(verdicts) == {("v1",), ("v2",)}
    for (version,), row in verdicts.items():
        base = (version, "standard", *HEADLINE, "period", "out_of_time")
        score = figures[*base, "score", "health_score"]
        for name in ("auc", "auc_low", "auc_high", "observation_count", "churner_count",
                     "account_count", "base_rate", "lift_at_10_percent"):  # fmt: skip
            assert row[name] == score[name]
        assert row["auc_equal_weights"] == figures[*base, "score", "equal_weights"]["auc"]
        metrics = {
            key[-1]: figure["auc"]
            for key, figure in figures.items()
            if key[:6] == base and key[6] == "metric" and figure["auc"] is not None
        }
        best = min(metrics, key=lambda key: (-metrics[key], key)) if metrics else None
        assert row["best_metric_key"] == best
        leads = [
            figures[version, "standard", lead, 60, *base[4:], "score", "health_score"]["auc"]
            for lead in (0, 30, 60, 90)
        ]
        if None not in leads:
            falls = [a - b for a, b in itertools.pairwise(leads)]
            assert close(row["largest_lead_fall"], max(falls))
            assert row["largest_lead_fall_from"] == 30 * int(np.argmax(falls))
        if row["auc"] is not None:
            assert f"AUC {row['auc']:.2f}" in row["verdict"]


def figures_of(sql: str, values: Mapping[str, Any]) -> np.ndarray:
    """The column `figure` of a select over the table `given`, in the order of `position`."""
    database = ValidationDatabase()
    try:
        table = pa.table({**values, "position": range(len(next(iter(values.values()))))})
        database.connection.register("given", table)
        found = database.connection.execute(f"{sql} order by position").fetchnumpy()["figure"]
        return np.asarray(found, dtype=float)
    finally:
        database.close()


def test_normal_tail_agrees_with_scipy() -> None:
    """To 1e-12, and far out to eight digits of the tail itself."""
    z = np.concatenate([np.linspace(-9, 9, 3601), [0.0, 7.07106781186547, 20.0, 36.0, 38.0, 1e6]])
    sql = compiled_sql(
        "select {{ customer_health.normal_tail('z') }} as figure, position from given"
    )
    found = figures_of(sql, {"z": z})
    wanted = 2 * norm.sf(np.abs(z))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[np.abs(z) < 37], wanted[np.abs(z) < 37], rtol=1e-8)


def test_student_quantile_agrees_with_scipy() -> None:
    """From the table and from the expansion behind it."""
    degrees = [*range(1, 200), 1000, 10**6]
    sql = compiled_sql(
        "select {{ customer_health.student_quantile_95('degrees') }} as figure, position from given"
    )
    found = figures_of(sql, {"degrees": degrees})
    np.testing.assert_allclose(found, t.ppf(0.975, degrees), rtol=1e-9)
