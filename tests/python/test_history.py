"""History: however the rows came about, they are the same rows.

A small company is scored three ways: all at once; in steps, with events that arrive two days late
on the way; and with a backfill on top. Each table of the marts is compared row by row.
fct_health__rejected_rows and fct_health__source_rows are left out: they speak of runs and not of
scored dates, and a run in steps reads other days than one that builds all at once.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from warehouse import KEPT, Rows, Warehouse, different

from customer_health import demo

AS_OF = date(2026, 6, 30)
VARS = {
    "history_from": "2026-03-01",
    "daily_from": "2026-06-18",
    "change_history_days": 60,
}


@pytest.fixture(scope="module")
def raw_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history_raw")
    demo.generate(folder / "raw", accounts=40, days=300, events=15_000, seed=11)
    return folder / "raw"


@pytest.fixture(scope="module")
def all_at_once(raw_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    warehouse = Warehouse(tmp_path_factory.mktemp("at_once"), raw_tables, VARS)
    warehouse.build(AS_OF)
    return warehouse.history()


@pytest.fixture(scope="module")
def in_steps(raw_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Built before the first Sunday of the last month, and six days before the end; then two runs,
    the first of which lacks the newest events."""
    warehouse = Warehouse(tmp_path_factory.mktemp("in_steps"), raw_tables, VARS)
    warehouse.build(date(2026, 5, 31))
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
    months = {row.split("datetime.date(")[1].split(")")[0] for row in all_at_once[KEPT]}
    assert months == {"2026, 3, 1", "2026, 4, 5", "2026, 5, 3", "2026, 6, 7"}


def test_steps_with_late_events_equal_all_at_once(all_at_once: Rows, in_steps: Warehouse) -> None:
    assert different(all_at_once, in_steps.history()) == {}


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
    assert different(all_at_once, in_steps.history()) == {}


def test_full_refresh_alone_does_not_touch_history(all_at_once: Rows, in_steps: Warehouse) -> None:
    """Old events are gone from the source: a rebuilt history would show it."""
    in_steps.read_raw("occurred_at >= '2026-06-20'")
    in_steps.build(AS_OF, "--full-refresh")
    scores = in_steps.history()
    assert different(all_at_once, scores) == {}


def test_backfill_equals_all_at_once(all_at_once: Rows, in_steps: Warehouse) -> None:
    in_steps.read_raw("true")
    in_steps.build(AS_OF, backfill_from="2026-05-04")
    assert different(all_at_once, in_steps.history()) == {}


def test_a_lost_history_table_has_all_of_it_built_again(
    all_at_once: Rows, in_steps: Warehouse
) -> None:
    """Each day once: what is there of the other history tables is replaced, not added to."""
    with duckdb.connect(str(in_steps.home / "build.duckdb")) as connection:
        connection.execute("drop table customer_health_intermediate.int_health__account_bands")
    in_steps.build(AS_OF)
    assert different(all_at_once, in_steps.history()) == {}


def test_going_back_needs_a_backfill(in_steps: Warehouse) -> None:
    with pytest.raises(AssertionError, match="already scored"):
        in_steps.build(AS_OF - timedelta(days=5))


def test_a_date_outside_the_spine_is_refused(in_steps: Warehouse) -> None:
    with pytest.raises(AssertionError, match="only Sundays"):
        in_steps.build(date(2026, 5, 5))
