"""What holds for every score, whatever the data: properties of the scoring SQL on random worlds."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sql_harness import (
    METRICS,
    TARGETS,
    Row,
    ScoringDatabase,
    Shape,
    compiled_project,
    random_world,
    scoring_settings,
)

seeds = st.integers(0, 2**32 - 1)
shapes = st.builds(
    Shape,
    account_count=st.integers(1, 8),
    week_count=st.integers(0, 6),
    day_count=st.integers(1, 10),
    version_count=st.integers(1, 2),
)


@pytest.fixture(scope="module")
def database() -> Iterator[ScoringDatabase]:
    """A database to run worlds in."""
    opened = ScoringDatabase(compiled_project())
    yield opened
    opened.close()


def account_rows(database: ScoringDatabase) -> dict[str, list[Row]]:
    """The rows of the models that say everything about accounts, by model."""
    return {name: database.rows(name) for name in TARGETS}


def fingerprints(database: ScoringDatabase, **without: Any) -> dict[str, list[str]]:
    """Every row of account_rows, bit by bit and in order.

    without: leaves out the rows of an account_id or a scoring_version, or those `after` a date.
    """
    result = {}
    for name, rows in account_rows(database).items():
        kept = [
            row
            for row in rows
            if row["account_id"] != without.get("account_id")
            and ("after" not in without or row["as_of_date"] <= without["after"])
            and row.get("scoring_version") != without.get("scoring_version", "")
        ]
        # repr of a float is exact; a mapping of columns does not depend on their order
        result[name] = sorted(repr(sorted(row.items(), key=lambda item: item[0])) for row in kept)
    return result


def scores(database: ScoringDatabase) -> dict[oracle.AccountKey, Row]:
    """int_health__account_scores by its key."""
    return {
        (row["account_id"], row["as_of_date"], row["scoring_version"], row["scorecard_key"]): row
        for row in database.rows("int_health__account_scores")
    }


@settings(scoring_settings, max_examples=10)
@given(seed=seeds, shape=shapes)
def test_scores_are_bounded_finite_and_add_up(
    database: ScoringDatabase, seed: int, shape: Shape
) -> None:
    """0 <= low <= score <= high <= 100, shares within 0 and 1, points that sum to the score."""
    database.run(random_world(random.Random(seed), shape))
    for name, rows in account_rows(database).items():
        for row in rows:
            for column, value in row.items():
                if isinstance(value, float):
                    assert math.isfinite(value), (name, column, row)
    points: dict[oracle.AccountKey, list[float]] = defaultdict(list)
    for row in database.rows("int_health__metric_points"):
        key = (row["account_id"], row["as_of_date"], row["scoring_version"], row["scorecard_key"])
        assert row["metric_score"] is None or 0 <= row["metric_score"] <= 10
        if row["metric_points"] is not None:
            points[key].append(row["metric_points"])
    for key, row in scores(database).items():
        for share in ("coverage", "connected_weight"):
            assert row[share] is None or 0 <= row[share] <= 1, row
        for bound in ("score_low", "score_high"):
            assert row[bound] is None or 0 <= row[bound] <= 100, row
        if row["health_score_exact"] is None:
            assert not points[key] and row["health_score"] is None, row
            continue
        assert 0 <= row["health_score_exact"] <= 100 and 0 <= row["health_score"] <= 100, row
        assert row["score_low"] <= row["health_score_exact"] + 1e-9, row
        assert row["score_high"] >= row["health_score_exact"] - 1e-9, row
        assert sum(points[key]) == pytest.approx(row["health_score_exact"], abs=1e-9), row


@settings(scoring_settings, max_examples=6)
@given(seed=seeds, shape=shapes, metric_score=st.sampled_from([0.0, 10.0]))
def test_all_at_the_top_is_100_and_all_at_the_bottom_0(
    database: ScoringDatabase, seed: int, shape: Shape, metric_score: float
) -> None:
    """Exactly, whatever the weights and whatever is missing; the bound on that side as well."""
    world = random_world(random.Random(seed), shape)
    world.anchors = [replace(anchor, score=metric_score) for anchor in world.anchors]
    bound = "score_high" if metric_score else "score_low"
    database.run(world)
    for row in scores(database).values():
        for column in ("health_score_exact", "health_score", bound):
            assert row[column] in (None, 10 * metric_score), (column, row)


@settings(scoring_settings, max_examples=6)
@given(
    seed=seeds,
    shape=shapes,
    category_factor=st.sampled_from([0.1, 3.0, 100.0]),
    metric_factor=st.sampled_from([0.25, 7.0]),
)
def test_only_the_ratio_of_weights_counts(
    database: ScoringDatabase,
    seed: int,
    shape: Shape,
    category_factor: float,
    metric_factor: float,
) -> None:
    """Weights times a factor give the same scores, coverage, bounds and points."""
    world = random_world(random.Random(seed), shape)
    database.run(world)
    before, before_points = scores(database), metric_points(database)
    world.category_weights = [
        replace(row, weight=row.weight * category_factor) for row in world.category_weights
    ]
    world.metric_weights = [
        replace(row, weight=row.weight * metric_factor) for row in world.metric_weights
    ]
    database.run(world)
    after = scores(database)
    assert after.keys() == before.keys()
    for key, row in after.items():
        for column in ("health_score_exact", "coverage", "score_low", "score_high"):
            assert row[column] == pytest.approx(before[key][column], abs=1e-9), (key, column)
        assert row["connected_weight"] == pytest.approx(before[key]["connected_weight"], abs=1e-9)
    assert metric_points(database) == pytest.approx(before_points, abs=1e-9)


def metric_points(database: ScoringDatabase) -> dict[tuple[Any, ...], float | None]:
    """Points of every metric, by the key of its row."""
    return {
        (*(row[name] for name in METRIC_KEY),): row["metric_points"]
        for row in database.rows("int_health__metric_points")
    }


METRIC_KEY = ("account_id", "as_of_date", "scoring_version", "scorecard_key", "metric_key")


@settings(scoring_settings, max_examples=7)
@given(seed=seeds, shape=shapes, step=st.sampled_from([0.5, 3.0, 40.0]))
def test_a_better_value_never_lowers_a_score(
    database: ScoringDatabase, seed: int, shape: Shape, step: float
) -> None:
    """Every metric with rising or falling anchors: a better value, no lower score or bound."""
    rng = random.Random(seed)
    shape = replace(shape, is_monotone=True, has_churn_model=False)
    world = random_world(rng, shape)
    improving = rng.choice(METRICS)
    database.run(world)
    before = scores(database)
    improved = {
        version.scoring_version: direction_of(world, version.scoring_version, improving)
        for version in world.versions
    }
    world.signals = [
        replace(signal, metric_value=signal.metric_value + step * improved[signal.scoring_version])
        if signal.metric_key == improving and signal.metric_value is not None
        else signal
        for signal in world.signals
    ]
    database.run(world)
    for key, row in scores(database).items():
        for column in ("health_score_exact", "health_score", "score_low", "score_high"):
            if row[column] is not None:
                assert row[column] >= before[key][column], (improving, key, column)


def direction_of(world: oracle.World, version: str, metric_key: str) -> int:
    """1 where a greater value is better, -1 where a smaller one is."""
    points = [
        anchor
        for anchor in world.anchors
        if anchor.metric_key == metric_key and anchor.scoring_version == version
    ]
    sets: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for anchor in points:
        sets[anchor.scorecard_key, anchor.tenure_days_from].append((anchor.value, anchor.score))
    falls = any(
        later < earlier
        for members in sets.values()
        for (_, earlier), (_, later) in pairwise(sorted(members))
    )
    return -1 if falls else 1


@settings(scoring_settings, max_examples=6)
@given(seed=seeds, shape=shapes)
def test_an_unrelated_account_changes_no_other(
    database: ScoringDatabase, seed: int, shape: Shape
) -> None:
    """Bit by bit: scores are no percentiles."""
    world = random_world(random.Random(seed), replace(shape, account_count=4))
    database.run(world)
    leaver = world.spine[0].account_id
    before = fingerprints(database, account_id=leaver)
    world.spine = [row for row in world.spine if row.account_id != leaver]
    world.signals = [row for row in world.signals if row.account_id != leaver]
    world.overrides = [row for row in world.overrides if row.account_id != leaver]
    database.run(world)
    after = fingerprints(database)
    assert after == before


@settings(scoring_settings, max_examples=6)
@given(seed=seeds, shape=shapes)
def test_later_days_change_nothing_earlier(
    database: ScoringDatabase, seed: int, shape: Shape
) -> None:
    """The rows of a date are the same whether or not later dates are there."""
    rng = random.Random(seed)
    world = random_world(rng, shape)
    database.run(world)
    last = rng.choice(sorted({row.as_of_date for row in world.scored_versions}))
    before = fingerprints(database, after=last)
    database.run(cut(world, date.min, last))
    assert fingerprints(database) == before


@settings(scoring_settings, max_examples=5)
@given(seed=seeds, shape=shapes)
def test_a_challenger_changes_nothing_in_force(
    database: ScoringDatabase, seed: int, shape: Shape
) -> None:
    """A version that is scored beside the one in force leaves its rows alone, bit by bit."""
    world = random_world(random.Random(seed), replace(shape, version_count=2))
    challenger = "v1"
    world.scored_versions = [
        replace(
            row,
            is_in_force=row.scoring_version != challenger,
            is_champion=row.scoring_version != challenger,
        )
        for row in world.scored_versions
    ]
    database.run(world)
    before = fingerprints(database, scoring_version=challenger)
    world.scored_versions = [
        row for row in world.scored_versions if row.scoring_version != challenger
    ]
    world.signals = [row for row in world.signals if row.scoring_version != challenger]
    database.run(world)
    assert fingerprints(database) == before


@settings(scoring_settings, max_examples=4)
@given(seed=seeds)
def test_row_order_and_threads_do_not_matter(seed: int) -> None:
    """One thread on ordered rows and four on shuffled ones give the same bits."""
    world = random_world(random.Random(seed), Shape(account_count=12))
    results = []
    for threads, shuffle in ((1, None), (4, random.Random(seed))):
        database = ScoringDatabase(compiled_project(), threads=threads)
        if threads > 1:
            # spreads even small tables over all threads
            database.connection.execute("pragma verify_parallelism")
        database.run(world, shuffle)
        results.append(fingerprints(database))
        database.close()
    assert results[0] == results[1]


@settings(scoring_settings, max_examples=4)
@given(seed=seeds, shape=shapes)
def test_history_built_in_steps_equals_one_build(
    database: ScoringDatabase, seed: int, shape: Shape
) -> None:
    """Runs that add some dates and rebuild a few leave the rows of one build, bit by bit."""
    rng = random.Random(seed)
    world = random_world(rng, shape)
    database.run(world)
    expected = history(database)
    days = sorted({row.as_of_date for row in world.scored_versions})
    built, *stops = sorted({*rng.choices(range(len(days)), k=3), len(days) - 1})
    database.run(cut(world, days[0], days[built]))
    for stop in stops:
        start = max(0, built + 1 - rng.randint(0, 5))
        database.update(cut(world, days[start], days[stop]))
        built = stop
    assert history(database) == expected


def history(database: ScoringDatabase) -> dict[str, list[str]]:
    """The fingerprints of the models that keep the rows of earlier runs."""
    kept = {model.name for model in database.project.models if model.is_history}
    return {name: rows for name, rows in fingerprints(database).items() if name in kept}


def cut(world: oracle.World, first: date, last: date) -> oracle.World:
    """The world as a run sees it that builds the dates from first to last."""
    return replace(
        world,
        spine=[row for row in world.spine if first <= row.as_of_date <= last],
        signals=[row for row in world.signals if first <= row.as_of_date <= last],
        scored_versions=[r for r in world.scored_versions if first <= r.as_of_date <= last],
        source_coverage=[r for r in world.source_coverage if first <= r.as_of_date <= last],
        overrides=[row for row in world.overrides if row.created_at.date() < last],
    )
