"""The comparison of versions in SQL against customer_health.statistics, on random rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pytest
from validation_harness import ValidationDatabase

from customer_health import statistics

FEWEST, CAPACITY = 5, 0.15


def limits(fewest: int, capacity: float) -> list[dict[str, Any]]:
    """Rows of the seed validation_limits."""
    return [
        {"limit_key": "fewest_churners", "value": fewest},
        {"limit_key": "capacity_share", "value": capacity},
    ]


@pytest.fixture(scope="module")
def database() -> Iterator[ValidationDatabase]:
    database = ValidationDatabase()
    database.connection.execute("set threads = 1")
    yield database
    database.close()


def random_rows(seed: int) -> list[dict[str, Any]]:
    """Observations of champion and challenger: accounts in several months, coarse scores."""
    generator = np.random.default_rng(seed)
    rows = []
    for horizon in (60, 90):
        for number in range(90):
            health = generator.uniform(0, 100)
            for month in range(1, int(generator.integers(2, 9))):
                churned = int(generator.random() < 0.3 * (1 - health / 100))
                champion = float(np.clip(np.round(health + generator.normal(0, 25), -1), 0, 100))
                challenger = float(np.clip(np.round(health + generator.normal(0, 15)), 0, 100))
                rows.append(
                    {
                        "champion_version": "v1",
                        "challenger_version": "v2",
                        "account_id": f"A{number}",
                        "as_of_date": date(2025, month, 1),
                        "lead_days": 0,
                        "horizon_days": horizon,
                        "is_headline": horizon == 60,
                        "is_out_of_time": month > 4,
                        "is_churned": churned,
                        "champion_score": champion,
                        "challenger_score": challenger,
                    }
                )
    return rows


def expected(rows: list[dict[str, Any]]) -> dict[str, float]:
    champion = -np.array([row["champion_score"] for row in rows])
    challenger = -np.array([row["challenger_score"] for row in rows])
    outcomes = np.array([row["is_churned"] for row in rows])
    accounts = np.array([row["account_id"] for row in rows])
    area = statistics.delong_paired(champion, challenger, outcomes, accounts)
    tenth = statistics.recall_paired(champion, challenger, outcomes, 0.1, accounts)
    capacity = statistics.recall_paired(champion, challenger, outcomes, CAPACITY, accounts)
    found = {"difference_low": area.low, "difference_high": area.high}
    for name, each, factor in (
        ("auc", area, 1),
        ("lift_at_10_percent", tenth, 10),
        ("recall_at_capacity", capacity, 1),
    ):
        found[f"{name}_champion"] = factor * each.figure_a
        found[f"{name}_challenger"] = factor * each.figure_b
        found[f"{name}_difference"] = factor * each.difference
        if name != "auc":
            found[f"{name}_difference_low"] = factor * each.low
            found[f"{name}_difference_high"] = factor * each.high
    return found


@pytest.mark.parametrize("seed", range(4))
def test_figures_and_intervals_agree(database: ValidationDatabase, seed: int) -> None:
    rows = random_rows(seed)
    database.run(
        {
            "int_health__compared_observations": rows,
            "validation_limits": limits(FEWEST, CAPACITY),
        },
        "val_health__version_comparison",
    )
    found = database.rows("val_health__version_comparison")
    assert len(found) == 4
    for row in found:
        mine = [
            each
            for each in rows
            if each["horizon_days"] == row["horizon_days"]
            and (row["slice_value"] == "all" or each["is_out_of_time"])
        ]
        churners = {each["account_id"] for each in mine if each["is_churned"]}
        assert row["observation_count"] == len(mine)
        assert row["churned_observation_count"] == sum(each["is_churned"] for each in mine)
        assert row["account_count"] == len({each["account_id"] for each in mine})
        assert row["churner_count"] == len(churners) >= FEWEST
        wanted = expected(mine)
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)
        verdict = (
            "better"
            if wanted["difference_low"] > 0
            else "worse"
            if wanted["difference_high"] < 0
            else "not_distinguishable"
        )
        assert row["verdict_key"] == verdict


def test_one_churner_everybody_churned_and_equal_versions(database: ValidationDatabase) -> None:
    """No interval with one churner, no figure without a stayer, no width where both rank alike."""

    def row(account: int, churned: int, score: float, other: float, window: int) -> dict[str, Any]:
        return {
            "champion_version": "v1", "challenger_version": "v2", "account_id": f"A{account}",
            "as_of_date": date(2025, 2, 2), "lead_days": 0, "horizon_days": window,
            "is_headline": False, "is_out_of_time": False, "is_churned": churned,
            "champion_score": score, "challenger_score": other,
        }  # fmt: skip

    rows = [
        row(1, 1, 10, 20, 1), row(2, 0, 15, 30, 1), row(3, 0, 5, 40, 1),
        row(1, 1, 10, 20, 2), row(2, 1, 15, 30, 2),
        row(1, 1, 10, 10, 3), row(2, 1, 30, 30, 3), row(3, 0, 20, 20, 3), row(4, 0, 40, 40, 3),
    ]  # fmt: skip
    database.run(
        {
            "int_health__compared_observations": rows,
            "validation_limits": limits(1, 0.5),
        },
        "val_health__version_comparison",
    )
    one, all_gone, same = sorted(
        database.rows("val_health__version_comparison"), key=lambda each: each["horizon_days"]
    )
    assert (one["auc_champion"], one["auc_challenger"]) == (0.5, 1.0)
    assert one["difference_low"] is None and one["verdict_key"] == "not_enough_outcomes"
    assert all_gone["auc_champion"] is None
    assert all_gone["verdict_key"] == "not_enough_outcomes"
    assert (same["auc_difference"], same["difference_low"], same["difference_high"]) == (0, 0, 0)
    assert same["verdict_key"] == "not_distinguishable"
