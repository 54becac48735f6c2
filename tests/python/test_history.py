"""History: however the rows came about, they are the same rows.

A small company is scored three ways: all at once; in steps, with events that arrive two days late
on the way; and with a backfill on top. Each table of the marts is compared row by row.
fct_health__rejected_rows is left out: it says what the last run set aside, of the days it read.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from customer_health import demo
from customer_health.dbt import release_connections

PROJECT_DIR = Path(__file__).resolve().parents[2]
AS_OF = date(2026, 6, 30)
VARS = {
    "customer_health__history_from": "2026-03-01",
    "customer_health__daily_from": "2026-06-18",
    "customer_health__change_history_days": 60,
}
NOT_COMPARED = {"fct_health__rejected_rows"}
Rows = dict[str, list[str]]


@pytest.fixture(scope="module")
def raw_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history_raw")
    demo.generate(folder / "raw", accounts=40, days=300, events=15_000, seed=11)
    return folder / "raw"


class Warehouse:
    """A home of its own with a copy of the raw tables, and dbt runs in it."""

    def __init__(self, home: Path, raw_tables: Path) -> None:
        self.home = home
        shutil.copytree(raw_tables, home / "raw")
        self.read_raw("true")

    def read_raw(self, condition: str, extra_events: str = "") -> None:
        """Let the run see only the product events for which the condition holds."""
        demo.create_landing(self.home)
        events = self.home / "raw" / "product_events" / "*.parquet"
        with duckdb.connect(str(self.home / "landing.duckdb")) as connection:
            connection.execute(
                f"create or replace view raw.product_events as "
                f"select * from read_parquet('{events}') where {condition} {extra_events}"
            )

    def build(self, as_of: date, *arguments: str, **variables: Any) -> None:
        """Build all seeds and models; tests are run elsewhere."""
        from dbt.cli.main import dbtRunner

        given = {f"customer_health__{name}": value for name, value in variables.items()}
        os.environ["CUSTOMER_HEALTH_HOME"] = str(self.home)
        result = dbtRunner().invoke(
            [
                "--quiet",
                "build",
                *("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"),
                *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)),
                *("--target-path", str(self.home / "target"), "--log-path", str(self.home / "log")),
                *("--vars", json.dumps({"customer_health__as_of_date": str(as_of)} | VARS | given)),
                *arguments,
            ]
        )
        release_connections()
        if not result.success:
            failed = getattr(result.result, "results", [])
            messages = [f"{node.node.name}: {node.message}" for node in failed if node.message]
            raise AssertionError(f"{result.exception} {messages}")

    def rows(self) -> Rows:
        """All rows of all marts, as text in a fixed order."""
        with duckdb.connect(str(self.home / "candidate.duckdb"), read_only=True) as connection:
            names = connection.execute(
                "select table_name from duckdb_tables() where schema_name = 'customer_health'"
            ).fetchall()
            return {
                name: sorted(
                    map(repr, connection.execute(f"from customer_health.{name}").fetchall())
                )
                for (name,) in names
                if name not in NOT_COMPARED
            }


def different(left: Rows, right: Rows) -> dict[str, list[str]]:
    """Tables that differ, with a few of the rows that only one side has."""
    return {
        name: sorted(set(left.get(name, [])) ^ set(right.get(name, [])))[:4]
        for name in left.keys() | right.keys()
        if left.get(name) != right.get(name)
    }


@pytest.fixture(scope="module")
def all_at_once(raw_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    warehouse = Warehouse(tmp_path_factory.mktemp("at_once"), raw_tables)
    warehouse.build(AS_OF)
    return warehouse.rows()


@pytest.fixture(scope="module")
def in_steps(raw_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Built up to six days before; then two runs, the first of which lacks the newest events."""
    warehouse = Warehouse(tmp_path_factory.mktemp("in_steps"), raw_tables)
    warehouse.build(AS_OF - timedelta(days=6))
    late = "not (occurred_at >= '2026-06-26' and hash(event_id) % 2 = 0)"
    warehouse.read_raw(late)
    warehouse.build(AS_OF - timedelta(days=2))
    warehouse.read_raw("true")
    warehouse.build(AS_OF)
    return warehouse


def test_rows_are_there(all_at_once: Rows) -> None:
    for name in ("fct_health__account_scores", "fct_health__metric_scores"):
        dates = {row.split("datetime.date(")[1].split(")")[0] for row in all_at_once[name]}
        assert len(dates) > 20
    assert all_at_once["fct_health__score_changes"]
    assert all_at_once["bi_health__portfolio_daily"]


def test_steps_with_late_events_equal_all_at_once(all_at_once: Rows, in_steps: Warehouse) -> None:
    assert different(all_at_once, in_steps.rows()) == {}


def test_same_day_again_and_future_events_change_nothing(
    all_at_once: Rows, in_steps: Warehouse
) -> None:
    poison = """
        union all by name
        select * replace (
            event_id || '_future' as event_id,
            occurred_at + interval 400 day as occurred_at,
            loaded_at + interval 400 day as loaded_at
        )
        from (select * from read_parquet('{events}') limit 3000)
    """.replace("{events}", str(in_steps.home / "raw" / "product_events" / "*.parquet"))
    in_steps.read_raw("true", poison)
    in_steps.build(AS_OF)
    assert different(all_at_once, in_steps.rows()) == {}


def test_full_refresh_alone_does_not_touch_history(all_at_once: Rows, in_steps: Warehouse) -> None:
    """Old events are gone from the source: a rebuilt history would show it."""
    in_steps.read_raw("occurred_at >= '2026-06-20'")
    in_steps.build(AS_OF, "--full-refresh")
    scores = in_steps.rows()
    assert different(all_at_once, scores) == {}


def test_backfill_equals_all_at_once(all_at_once: Rows, in_steps: Warehouse) -> None:
    in_steps.read_raw("true")
    in_steps.build(AS_OF, backfill_from="2026-05-04")
    assert different(all_at_once, in_steps.rows()) == {}


def test_going_back_needs_a_backfill(in_steps: Warehouse) -> None:
    with pytest.raises(AssertionError, match="already scored"):
        in_steps.build(AS_OF - timedelta(days=5))


def test_a_date_outside_the_spine_is_refused(in_steps: Warehouse) -> None:
    with pytest.raises(AssertionError, match="only Sundays"):
        in_steps.build(date(2026, 5, 5))
