"""The scoring SQL and the oracle agree: on the documented example, edges and random worlds."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sql_harness import (
    LAST_DATE,
    Row,
    ScoringDatabase,
    Shape,
    compiled_project,
    random_world,
    scoring_settings,
)

seeds = st.integers(0, 2**32 - 1)
TOLERANCE = 1e-9
LEDGER_TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def database() -> Iterator[ScoringDatabase]:
    """A database to run worlds in."""
    opened = ScoringDatabase(compiled_project())
    yield opened
    opened.close()


# -- comparing -----------------------------------------------------------------------------------


def is_same(actual: Any, expected: Any, tolerance: float = TOLERANCE) -> bool:
    """Equal; numbers that are not whole up to the tolerance."""
    if actual is None or expected is None:
        return actual is None and expected is None
    if isinstance(expected, (Fraction, float)):
        return abs(float(actual) - float(expected)) <= tolerance
    return bool(actual == expected)


def differences(
    label: str,
    rows: Mapping[Any, Row],
    expected: Mapping[Any, Mapping[str, Any]],
    tolerance: float = TOLERANCE,
) -> list[str]:
    """What differs between rows of SQL and those of the oracle, in words."""
    found = [f"{label} {key}: only in SQL" for key in rows.keys() - expected.keys()]
    found += [f"{label} {key}: missing in SQL" for key in expected.keys() - rows.keys()]
    for key in rows.keys() & expected.keys():
        for column, wanted in expected[key].items():
            if not is_same(rows[key][column], wanted, tolerance):
                got = rows[key][column]
                shown = float(wanted) if isinstance(wanted, Fraction) else wanted
                found.append(f"{label} {key} {column}: SQL {got!r}, oracle {shown!r}")
    return sorted(found)


def keyed(rows: list[Row], *columns: str) -> dict[tuple[Any, ...], Row]:
    """Rows by their key; a key that occurs twice is an error."""
    result = {tuple(row[column] for column in columns): row for row in rows}
    assert len(result) == len(rows), f"{columns} is no key"
    return result


HELD_NOTHING = ("held_rank", None)
CHANGE = ("account_id", "as_of_date", "lag_key", "metric_key")
ACCOUNT = ("account_id", "as_of_date", "scoring_version", "scorecard_key")


def compare(database: ScoringDatabase, world: oracle.World) -> list[str]:
    """Run a world through both and list every difference, the first step's first."""
    database.run(world)
    return compare_results(database, oracle.score_world(world))


def compare_results(database: ScoringDatabase, expected: oracle.Results) -> list[str]:
    """Every difference between what was run and what is expected."""
    return [
        *compare_metric_scores(database, expected),
        *compare_churn(database, expected),
        *compare_category_scores(database, expected),
        *compare_account_scores(database, expected),
        *compare_bands(database, expected),
        *compare_facts(database, expected),
        *compare_changes(database, expected),
    ]


def metric_columns(metric: oracle.MetricResult) -> Row:
    """What a metric row has to say."""
    return {
        "category_key": metric.category_key,
        "category_weight": metric.category_weight,
        "metric_weight": metric.metric_weight,
        "metric_value": metric.metric_value,
        "value_state": metric.value_state,
        "sample_size": metric.sample_size,
        "tenure_days": metric.tenure_days,
        "metric_score": metric.metric_score,
    }


def compare_metric_scores(database: ScoringDatabase, expected: oracle.Results) -> list[str]:
    """Differences of int_health__metric_scores and int_health__metric_points."""
    scores = keyed(database.rows("int_health__metric_scores"), *ACCOUNT, "metric_key")
    points = keyed(database.rows("int_health__metric_points"), *ACCOUNT, "metric_key")
    wanted, wanted_points = {}, {}
    for key, account in expected.accounts.items():
        for metric in account.metrics.values():
            columns = {**metric_columns(metric), "is_known": metric.is_known}
            wanted[*key, metric.metric_key] = {**columns, "is_applicable": metric.is_applicable}
            wanted_points[*key, metric.metric_key] = {
                **columns,
                "effective_weight": metric.effective_weight,
                "metric_points": metric.metric_points,
                "category_score": account.categories[metric.category_key].category_score,
            }
    return differences("metric", scores, wanted) + differences("points", points, wanted_points)


def compare_category_scores(database: ScoringDatabase, expected: oracle.Results) -> list[str]:
    """Differences of int_health__category_scores."""
    rows = keyed(database.rows("int_health__category_scores"), *ACCOUNT, "category_key")
    wanted = {
        (*key, category.category_key): {
            name: value for name, value in vars(category).items() if name != "category_points"
        }
        for key, account in expected.accounts.items()
        for category in account.categories.values()
    }
    return differences("category", rows, wanted)


def account_columns(account: oracle.AccountResult) -> Row:
    """What an account row has to say."""
    return {
        "health_score_exact": account.health_score_exact,
        "health_score": account.health_score,
        "score_without_churn_risk": account.score_without_churn_risk,
        "coverage": account.coverage,
        "connected_weight": account.connected_weight,
        "score_low": account.score_low,
        "score_high": account.score_high,
        "known_metric_count": account.known_metric_count,
        "applicable_metric_count": account.applicable_metric_count,
    }


def compare_account_scores(database: ScoringDatabase, expected: oracle.Results) -> list[str]:
    """Differences of int_health__account_scores."""
    rows = keyed(database.rows("int_health__account_scores"), *ACCOUNT)
    wanted = {
        key: {
            **account_columns(account),
            "purpose": account.purpose,
            "is_in_force": account.is_in_force,
        }
        for key, account in expected.accounts.items()
    }
    return differences("account", rows, wanted)


def compare_bands(database: ScoringDatabase, expected: oracle.Results) -> list[str]:
    """Differences of int_health__account_bands."""
    rows = keyed(database.rows("int_health__account_bands"), *ACCOUNT)
    # what a row holds before the first score is nobody's business
    wanted = {
        key: {name: value for name, value in vars(band).items() if (name, value) != HELD_NOTHING}
        for key, band in expected.bands.items()
    }
    return differences("band", rows, wanted)


def compare_churn(database: ScoringDatabase, expected: oracle.Results) -> list[str]:
    """Differences of int_health__churn_probabilities."""
    rows = keyed(database.rows("int_health__churn_probabilities"), *ACCOUNT)
    wanted = {
        key: {
            "metric_value": expected.churn[key].probability,
            "churn_probability_method": expected.churn[key].method,
        }
        for key, account in expected.accounts.items()
        if oracle.CHURN in account.metrics
    }
    return differences("churn", rows, wanted)


def compare_facts(database: ScoringDatabase, expected: oracle.Results) -> list[str]:
    """Differences of the three marts that hold scores: what is in force apart from the rest."""
    facts = keyed(database.rows("fct_health__account_scores"), "account_id", "as_of_date")
    others = keyed(database.rows("fct_health__scorecard_scores"), *ACCOUNT)
    metrics = keyed(database.rows("fct_health__metric_scores"), *ACCOUNT, "metric_key")
    wanted_facts, wanted_others, wanted_metrics = {}, {}, {}
    for key, account in expected.accounts.items():
        columns = {**account_columns(account), **band_columns(expected.bands[key])}
        if account.purpose == oracle.HEALTH and account.is_in_force:
            churn = churn_columns(account, expected.churn[key])
            wanted_facts[key[:2]] = {"scorecard_key": key[3], **columns, **churn}
        else:
            wanted_others[key] = {"purpose": account.purpose, **columns}
        for metric in account.metrics.values() if account.is_in_force else ():
            wanted_metrics[*key, metric.metric_key] = {
                **metric_columns(metric),
                "metric_points": metric.metric_points,
                "category_score": account.categories[metric.category_key].category_score,
            }
    return [
        *differences("fact", facts, wanted_facts),
        *differences("other scorecard", others, wanted_others),
        *differences("metric fact", metrics, wanted_metrics),
    ]


def band_columns(band: oracle.BandResult) -> Row:
    """What a row of a mart has to say of the band."""
    return {name: value for name, value in vars(band).items() if name != "held_rank"}


def churn_columns(account: oracle.AccountResult, churn: oracle.ChurnResult) -> Row:
    """What a row of fct_health__account_scores has to say of churn: nothing without weight."""
    has_churn = oracle.CHURN in account.metrics
    return {
        "churn_probability": churn.probability if has_churn else None,
        "churn_probability_method": churn.method if has_churn else None,
    }


def compare_changes(database: ScoringDatabase, expected: oracle.Results) -> list[str]:
    """Differences of fct_health__score_changes, and sums that are not the change of the score.

    A row that is missing in SQL counts as zeros.
    """
    rows = keyed(database.rows("fct_health__score_changes"), *CHANGE)
    parts = ("policy_points", "behaviour_points", "absence_points", "change_points")
    wanted = {}
    for change_key, change in expected.changes.items():
        values = {part: getattr(change, part) for part in parts}
        if change_key in rows or any(abs(value) > LEDGER_TOLERANCE for value in values.values()):
            wanted[change_key] = {**values, "compared_date": change.compared_date}
    found = differences("change", rows, wanted, LEDGER_TOLERANCE)
    return found + ledger_gaps(rows, database.rows("fct_health__account_scores"))


def ledger_gaps(rows: Mapping[tuple[Any, ...], Row], facts: list[Row]) -> list[str]:
    """Where the ledger does not sum to the change of health_score_exact."""
    scores = {(row["account_id"], row["as_of_date"]): row["health_score_exact"] for row in facts}
    sums: dict[tuple[Any, ...], float] = {}
    for (account_id, day, lag, _), row in rows.items():
        change_key = (account_id, day, row["compared_date"], lag)
        sums[change_key] = sums.get(change_key, 0.0) + row["change_points"]
    found = []
    for (account_id, day, compared, lag), total in sums.items():
        change = scores[account_id, day] - scores[account_id, compared]
        if abs(total - change) > LEDGER_TOLERANCE:
            found.append(f"ledger {account_id} {day} {lag}: sums to {total}, score by {change}")
    return found


# -- random worlds -------------------------------------------------------------------------------


@settings(scoring_settings, max_examples=30)
@given(
    seed=seeds,
    shape=st.builds(
        Shape,
        account_count=st.integers(1, 8),
        week_count=st.integers(0, 14),
        day_count=st.integers(1, 12),
        version_count=st.integers(1, 3),
    ),
)
def test_sql_agrees_with_the_oracle(database: ScoringDatabase, seed: int, shape: Shape) -> None:
    """Every number of every step, on worlds with all value states, sets, gaps and versions."""
    world = random_world(random.Random(seed), shape)
    found = compare(database, world)
    assert not found, "\n".join(found[:20])


# -- bands ---------------------------------------------------------------------------------------


def series_world(
    rng: random.Random,
    account_count: int,
    day_count: int,
    confirm_days: Sequence[int] = (1, 2, 7),
) -> oracle.World:
    """Accounts whose score is the value of their only metric, under versions that differ in bands.

    The scores wander around the band edges, with gaps between rows and days without a score.
    """
    world = oracle.World()
    days = [LAST_DATE - timedelta(days=back) for back in reversed(range(day_count))]
    options = [
        (hysteresis, confirm, fall)
        for hysteresis in (0.0, 2.5, 3.0)
        for confirm in confirm_days
        for fall in ((None, None), (5.0, 1), (9.0, 7))
    ]
    for number, (hysteresis, confirm, fall) in enumerate(rng.sample(options, 6)):
        version = f"v{number}"
        world.versions.append(
            oracle.ScoringVersion(version, status="challenger" if number else "champion")
        )
        world.scorecards.append(
            oracle.Scorecard(version, "one", "health", 0.5, hysteresis, confirm, *fall)
        )
        world.rules.append(oracle.ScorecardRule(version, 1, "one"))
        world.metrics.append(oracle.Metric(version, "level", "usage", "product_usage"))
        world.anchors += [
            oracle.Anchor(version, "*", "level", 0, value, value / 10) for value in (100.0, 0.0)
        ]
        world.category_weights.append(oracle.CategoryWeight(version, "one", "usage", 1.0))
        world.metric_weights.append(oracle.MetricWeight(version, "one", "level", 1.0))
        world.bands += [
            oracle.Band(version, "*", key, rank, bound)
            for rank, (key, bound) in enumerate(
                (("critical", 0), ("at_risk", 41), ("healthy", 61), ("thriving", 81)), start=1
            )
        ]
        world.scored_versions += [
            oracle.ScoredVersion(day, version, is_in_force=not number, is_champion=not number)
            for day in days
        ]
    world.source_coverage += [
        oracle.SourceCoverage(source, day, True, days[0], day)
        for source in ("product_usage", "crm_accounts")
        for day in days
    ]
    for number in range(account_count):
        add_series(rng, world, f"account {number}", days)
    return world


def add_series(rng: random.Random, world: oracle.World, account_id: str, days: list[date]) -> None:
    """One account whose score wanders."""
    score = float(rng.choice([41, 61, 81]) + rng.randint(-6, 6))
    gap, silence = rng.choice([0.0, 0.1, 0.7]), rng.choice([0.0, 0.2])
    for day in days:
        score += rng.choice([-20, -6, -5, -3, -1, -0.5, 0, 0, 0, 0.5, 1, 3, 5, 6, 20])
        score = min(100.0, max(0.0, score))
        if rng.random() < gap:
            continue
        world.spine.append(oracle.SpineDay(account_id, day, None, None, 100, "active"))
        if rng.random() < silence:
            continue
        world.signals += [
            oracle.Signal(
                account_id, day, version.scoring_version, "level", score, None, None, "observed"
            )
            for version in world.versions
        ]


@settings(scoring_settings, max_examples=12)
@given(seed=seeds, day_count=st.integers(1, 30))
def test_bands_are_a_state_machine(database: ScoringDatabase, seed: int, day_count: int) -> None:
    """Hysteresis in window functions equals the day-by-day walk, for six settings at a time."""
    world = series_world(random.Random(seed), 10, day_count)
    found = compare(database, world)
    assert not found, "\n".join(found[:20])


@settings(scoring_settings, max_examples=3)
@given(seed=seeds)
def test_without_confirmation_a_band_follows_at_once(database: ScoringDatabase, seed: int) -> None:
    """With confirm_days 0 the score has to pass the edge by the margin, on the day itself."""
    world = series_world(random.Random(seed), 8, 20, confirm_days=(0,))
    found = compare(database, world)
    assert not found, "\n".join(found[:20])


def test_the_ledger_adds_up_when_old_metric_rows_are_gone() -> None:
    """Metric rows are dropped after component_history_days, also some that a lag looks back to."""
    short = (
        compiled_project()
        .mutated("fct_health__metric_scores", "-4000", "-10")
        .mutated("int_health__compared_dates", "-4000", "-10")
    )
    database = ScoringDatabase(short)
    try:
        database.run(random_world(random.Random(0), Shape(week_count=4, day_count=25)))
        rows = keyed(database.rows("fct_health__score_changes"), *CHANGE)
        assert rows
        gaps = ledger_gaps(rows, database.rows("fct_health__account_scores"))
        assert not gaps, "\n".join(gaps[:20])
    finally:
        database.close()


@settings(scoring_settings, max_examples=5)
@given(seed=seeds)
def test_knockouts_look_at_what_is_known(database: ScoringDatabase, seed: int) -> None:
    """Any metric can knock out: a zero and a churn probability count, a stale value does not."""
    world = random_world(random.Random(seed), Shape(has_metric_knockouts=True))
    found = compare(database, world)
    assert not found, "\n".join(found[:20])


# -- fixed cases ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """A metric of a scorecard whose score (0-10) is given; None is unknown."""

    metric_key: str
    category_key: str
    category_weight: float
    metric_weight: float
    score: float | None
    is_applicable: bool = True


def one_account(metrics: Iterable[Given], min_coverage: float = 0.0) -> oracle.World:
    """One account on one day under the scorecard `standard`, each metric scored as given."""
    day = LAST_DATE
    world = oracle.World(
        versions=[oracle.ScoringVersion("v1")],
        scorecards=[oracle.Scorecard("v1", "standard", "health", min_coverage, 3.0, 7)],
        rules=[oracle.ScorecardRule("v1", 10, "standard")],
        bands=[
            oracle.Band("v1", "*", key, rank, bound)
            for rank, (key, bound) in enumerate(
                (("critical", 0), ("at_risk", 41), ("healthy", 61), ("thriving", 81)), start=1
            )
        ],
        spine=[oracle.SpineDay("acme", day, "smb", "growth", 200, "active")],
        scored_versions=[oracle.ScoredVersion(day, "v1")],
        source_coverage=[
            oracle.SourceCoverage(source, day, True, day - timedelta(days=400), day)
            for source in ("product_usage", "crm_accounts")
        ],
    )
    categories = {}
    for metric in metrics:
        is_churn = metric.metric_key == oracle.CHURN
        categories[metric.category_key] = metric.category_weight
        world.metrics.append(
            oracle.Metric(
                "v1",
                metric.metric_key,
                metric.category_key,
                "crm_accounts" if is_churn else "product_usage",
            )
        )
        # a churn probability of 0.4 scores 4, so that it can be given like the others
        top = 1.0 if is_churn else 10.0
        world.anchors += [
            oracle.Anchor("v1", "*", metric.metric_key, 0, 0.0, 0.0),
            oracle.Anchor("v1", "*", metric.metric_key, 0, top, 10.0),
        ]
        world.metric_weights.append(
            oracle.MetricWeight("v1", "standard", metric.metric_key, metric.metric_weight)
        )
        if is_churn and metric.score is not None:
            world.base_rates.append(oracle.ChurnBaseRate("v1", "*", 0, metric.score / 10))
        elif metric.score is not None or not metric.is_applicable:
            state = "observed" if metric.is_applicable else "not_applicable"
            world.signals.append(
                oracle.Signal("acme", day, "v1", metric.metric_key, metric.score, None, 1, state)
            )
    world.category_weights = [
        oracle.CategoryWeight("v1", "standard", key, weight) for key, weight in categories.items()
    ]
    return world


WORKED_EXAMPLE = (
    Given("logins", "product_usage", 0.25, 0.333334, 8.0),
    Given("feature_adoption", "product_usage", 0.25, 0.333333, 6.0),
    Given("usage_frequency", "product_usage", 0.25, 0.333333, 7.0),
    Given("csat", "satisfaction", 0.20, 0.5, 9.0),
    Given("nps", "satisfaction", 0.20, 0.5, None),
    Given(oracle.CHURN, "churn_risk", 0.20, 1.0, 4.0),
    Given("tickets", "support", 0.15, 0.5, 10.0),
    Given("ticket_complexity", "support", 0.15, 0.5, 5.0),
    Given("onboarding_completion", "onboarding", 0.10, 1.0, None, is_applicable=False),
    Given("campaign_engagement", "engagement", 0.05, 1.0, 2.0),
    Given("mrr", "revenue", 0.05, 0.5, 3.0),
    Given("lifetime_value", "revenue", 0.05, 0.5, 5.0),
)


def test_the_worked_example(database: ScoringDatabase) -> None:
    """The example of the scoring document, number by number, in SQL and in the oracle."""
    world = one_account(WORKED_EXAMPLE, min_coverage=0.5)
    assert not compare(database, world)
    (row,) = database.rows("fct_health__account_scores")
    assert row["health_score"] == 64
    assert row["health_score_exact"] == pytest.approx(64.1667, abs=1e-4)
    assert row["coverage"] == pytest.approx(0.8889, abs=1e-4)
    assert row["score_low"] == pytest.approx(54.1667, abs=1e-4)
    assert row["score_high"] == pytest.approx(65.2778, abs=1e-4)
    assert (row["band"], row["band_reason"]) == ("healthy", "score")
    metrics = keyed(database.rows("fct_health__metric_scores"), "metric_key")
    points = {key: metric["metric_points"] for (key,), metric in metrics.items()}
    assert points["logins"] == pytest.approx(7.4074, abs=1e-4)
    assert points["csat"] == pytest.approx(20.0, abs=1e-9)
    assert points["nps"] is None
    assert sum(p for p in points.values() if p is not None) == pytest.approx(
        row["health_score_exact"], abs=1e-9
    )
    categories = {metric["category_key"]: metric["category_score"] for metric in metrics.values()}
    assert categories["product_usage"] == pytest.approx(7.0, abs=1e-5)
    assert categories["support"] == pytest.approx(7.5)
    assert categories["onboarding"] is None


def thirds(first: int, second: int) -> list[Given]:
    """Two categories of which a quarter is not applicable, so that the rest weighs thirds.

    first, second: known metrics of the three in each category.
    """
    metrics = [Given("rest", "rest", 0.5, 1.0, 5.0)]
    for category, known in (("a", first), ("b", second)):
        metrics.append(Given(f"{category}0", category, 0.25, 0.25, None, is_applicable=False))
        metrics += [
            Given(f"{category}{number}", category, 0.25, 0.25, 5.0 if number <= known else None)
            for number in (1, 2, 3)
        ]
    return metrics


@pytest.mark.parametrize(
    ("metrics", "min_coverage", "has_score"),
    [
        pytest.param(
            [Given("a", "a", 0.5, 1.0, 5.0), Given("b", "b", 0.5, 1.0, None)],
            0.5,
            True,
            id="half known of half needed",
        ),
        pytest.param(
            [Given("a", "a", 0.499999, 1.0, 5.0), Given("b", "b", 0.500001, 1.0, None)],
            0.5,
            False,
            id="a millionth too little",
        ),
        pytest.param(thirds(2, 1), 0.75, True, id="thirds that add up to three quarters"),
        pytest.param(thirds(1, 1), 0.75, False, id="two thirds of a half"),
        pytest.param([Given("a", "a", 1.0, 1.0, None)], 0.0, False, id="nothing known"),
        pytest.param(
            [Given("a", "a", 1.0, 1.0, None, is_applicable=False)],
            0.0,
            False,
            id="nothing applicable",
        ),
    ],
)
def test_a_score_needs_min_coverage(
    database: ScoringDatabase, metrics: list[Given], min_coverage: float, has_score: bool
) -> None:
    """Coverage below min_coverage takes the score away, coverage exactly at it does not."""
    found = compare(database, one_account(metrics, min_coverage))
    assert not found, "\n".join(found)
    (row,) = database.rows("fct_health__account_scores")
    assert (row["health_score"] is not None) is has_score
    assert (row["band"] != oracle.INSUFFICIENT) is has_score


def test_bands_apply_to_the_whole_number(database: ScoringDatabase) -> None:
    """Half a point is rounded up, and the band is that of the rounded score: no holes."""
    cases = {
        0.0: (0, "critical"),
        4.04: (40, "critical"),
        4.0499999: (40, "critical"),
        4.05: (41, "at_risk"),
        6.05: (61, "healthy"),
        8.0499999: (80, "healthy"),
        8.05: (81, "thriving"),
        10.0: (100, "thriving"),
    }
    world = one_account_each(one_account([Given("a", "a", 1.0, 1.0, 1.0)]), list(cases))
    assert not compare(database, world)
    rows = keyed(database.rows("fct_health__account_scores"), "account_id")
    for score, expected in cases.items():
        row = rows[(str(score),)]
        assert (row["health_score"], row["raw_band"]) == expected


@pytest.mark.parametrize(
    ("interpolation", "cases"),
    [
        (
            "linear",
            {-1.0: 3.0, 0.0: 3.0, 1.0: 6.5, 2.0: 10.0, 5.0: 6.0, 8.0: 2.0, 99.0: 2.0},
        ),
        (
            "step",
            {-1.0: 3.0, 0.0: 3.0, 1.999: 3.0, 2.0: 10.0, 7.999: 10.0, 8.0: 2.0, 99.0: 2.0},
        ),
    ],
)
def test_anchor_points(
    database: ScoringDatabase, interpolation: str, cases: dict[float, float]
) -> None:
    """Linear or step between unsorted points, flat outside: no tickets are worse than two."""
    world = one_account([Given("tickets", "support", 1.0, 1.0, 1.0)])
    world.metrics = [replace(world.metrics[0], interpolation=interpolation)]
    world.anchors = [
        oracle.Anchor("v1", "*", "tickets", 0, at, points)
        for at, points in ((8.0, 2.0), (0.0, 3.0), (2.0, 10.0))
    ]
    world = one_account_each(world, list(cases))
    assert not compare(database, world)
    rows = keyed(database.rows("int_health__metric_scores"), "account_id")
    for value, score in cases.items():
        assert rows[(str(value),)]["metric_score"] == pytest.approx(score, abs=1e-12)


def one_account_each(world: oracle.World, values: Iterable[float]) -> oracle.World:
    """The only account and signal of a world, once per value and named after it."""
    (day,), (signal,) = world.spine, world.signals
    world.spine = [replace(day, account_id=str(value)) for value in values]
    world.signals = [replace(signal, account_id=str(value), metric_value=value) for value in values]
    return world


@pytest.mark.parametrize(
    ("sets", "tenure_days", "score"),
    [
        ({("*", 0): 1.0, ("*", 90): 2.0}, 89, 1.0),
        ({("*", 0): 1.0, ("*", 90): 2.0}, 90, 2.0),
        ({("*", 0): 1.0, ("*", 90): 2.0, ("standard", 0): 3.0}, 200, 3.0),
        ({("*", 0): 1.0, ("standard", 0): 3.0, ("standard", 90): 4.0}, 200, 4.0),
        ({("*", 0): 1.0, ("another", 0): 5.0}, 200, 1.0),
    ],
)
def test_which_anchor_set_counts(
    database: ScoringDatabase, sets: dict[tuple[str, int], float], tenure_days: int, score: float
) -> None:
    """The scorecard's own sets before those of `*`, then the greatest tenure that is reached."""
    world = one_account([Given("logins", "usage", 1.0, 1.0, 7.0)])
    world.spine = [replace(world.spine[0], tenure_days=tenure_days)]
    world.anchors = [
        oracle.Anchor("v1", scorecard_key, "logins", tenure, 0.0, points)
        for (scorecard_key, tenure), points in sets.items()
    ]
    database.run(world, last_model="int_health__base_metric_scores")
    (row,) = database.rows("int_health__base_metric_scores")
    assert row["metric_score"] == score
    points = oracle.anchor_points(world.anchors, "standard", tenure_days)
    assert oracle.anchor_score(points, 7.0, "linear") == score


# -- can the comparison fail at all? -------------------------------------------------------------

# model, what stands there, what is put in its place
MUTATIONS = [
    (
        "int_health__scorecard_assignments",
        "order by scorecard_rules.priority",
        "order by -priority",
    ),
    ("int_health__metric_values", "source_age_days > stale", "source_age_days >= stale"),
    ("int_health__metric_values", "value_age_days > stale", "value_age_days >= stale"),
    ("int_health__metric_values", "tenure_days < due_after", "tenure_days <= due_after"),
    ("int_health__anchor_segments", "= '*' then 1 else 0 end asc", "= '*' then 1 else 0 end desc"),
    ("int_health__base_metric_scores", "metric_value < coalesce", "metric_value <= coalesce"),
    ("int_health__base_metric_scores", "tenure_days >= anchor", "tenure_days > anchor"),
    ("int_health__churn_probabilities", "tenure_days_from desc", "tenure_days_from asc"),
    ("int_health__metric_scores", "('observed', 'zero', 'unknown')", "('observed', 'zero')"),
    ("int_health__category_scores", "metric_weight * metric_score", "metric_score"),
    ("int_health__account_scores", "category_weight * category_score", "category_score"),
    ("int_health__account_scores", "floor(score + 0.5)", "floor(score)"),
    (
        "int_health__account_scores",
        "case when is_without_churn_risk then category_weight * category_score end",
        "category_weight * category_score",
    ),
    ("int_health__category_scores", "metric_weight * 10 end", "metric_weight * 9 end"),
    ("int_health__account_scores", ", 10) as double ) as score", ", 1) as double ) as score"),
    ("int_health__account_scores", "coverage >= min_coverage", "coverage > min_coverage"),
    ("int_health__band_triggers", ">= greatest(confirm_days, 1)", "> greatest(confirm_days, 1)"),
    ("int_health__band_triggers", "health_score < edges", "health_score <= edges"),
    ("int_health__band_triggers", ">= recent_scores.fall_points", "> recent_scores.fall_points"),
    ("int_health__account_bands", "'knockout'", "'score'"),
    ("int_health__account_overrides", "created_at desc", "created_at asc"),
    ("int_health__account_overrides", "<= cast(overrides.expires", "< cast(overrides.expires"),
    ("int_health__score_paths", "where was_known", "where is_known"),
    ("int_health__score_paths", "under_later_policy.tenure_days", "0"),
    ("fct_health__score_changes", "points_p2 - points_p1", "points_p2 - points_p0"),
]


@functools.cache
def mutation_worlds() -> list[tuple[oracle.World, oracle.Results]]:
    """A few worlds that the unchanged SQL agrees on, with what the oracle says of them."""
    shape = Shape(account_count=5, week_count=4, day_count=10)
    worlds = [
        random_world(random.Random(2), shape),
        series_world(random.Random(0), 5, 25),
        *(random_world(random.Random(seed), shape) for seed in (3, 7, 6)),
    ]
    return [(world, oracle.score_world(world)) for world in worlds]


def test_the_unchanged_sql_agrees_on_the_worlds_of_the_mutations(
    database: ScoringDatabase,
) -> None:
    """Otherwise a mutation would be noticed for another reason."""
    for world, expected in mutation_worlds():
        database.run(world)
        found = compare_results(database, expected)
        assert not found, "\n".join(found[:20])


def is_noticed(mutant: ScoringDatabase, expected: oracle.Results) -> bool:
    """Whether the comparison finds anything, doubled rows included."""
    try:
        return bool(compare_results(mutant, expected))
    except AssertionError:
        return True


@pytest.mark.parametrize(("model", "old", "new"), MUTATIONS)
def test_a_mutation_of_the_sql_is_noticed(model: str, old: str, new: str) -> None:
    """A small error put into the SQL shows as a difference from the oracle."""
    mutant = ScoringDatabase(compiled_project().mutated(model, old, new))
    try:
        for world, expected in mutation_worlds():
            mutant.run(world)
            if is_noticed(mutant, expected):
                return
    finally:
        mutant.close()
    pytest.fail(f"{model}: nothing notices {old!r} -> {new!r}")
