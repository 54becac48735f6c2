"""The raw data of the benchmarks: as many events as asked for, in the shape that is promised."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    """A script of the benchmarks, which are no package."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


events = load("events")
pipeline = load("pipeline")
SMALL: dict[str, Any] = {"accounts": 60, "users": 600, "days": 95}


def query(home: Path, text: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the raw tables of a home; `{events}` is the table of events."""
    raw = home / "raw"
    with duckdb.connect() as connection:
        return connection.execute(
            text.format(
                events=f"read_parquet('{raw}/product_events/*.parquet')",
                users=f"read_parquet('{raw}/product_users/*.parquet')",
                accounts=f"read_parquet('{raw}/crm_accounts/*.parquet')",
            )
        ).fetchall()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sessions")
    events.make_home(folder, events.Shape(40_000, **SMALL))
    return folder


def test_as_many_events_as_asked_for_in_sessions(home: Path) -> None:
    count, user_days, first, last = query(
        home,
        "select count(*), count(distinct (user_id, cast(occurred_at as date))), "
        "min(cast(occurred_at as date)), max(cast(occurred_at as date)) from {events}",
    )[0]
    shape = events.Shape(40_000, **SMALL)
    assert count == pytest.approx(40_000, rel=0.06)
    assert count / user_days == pytest.approx(20, rel=0.06)
    assert (first, str(last)) == (shape.first_date, "2026-06-29")


def test_the_largest_account_has_a_fifth_of_the_users(home: Path) -> None:
    shares = query(
        home,
        "select count(*) / sum(count(*)) over () as share from {users} "
        "group by account_id order by share desc limit 2",
    )
    assert shares[0][0] == pytest.approx(0.2, abs=0.03)
    assert shares[1][0] < shares[0][0]


def test_events_are_of_known_users_after_the_start_and_some_come_twice(home: Path) -> None:
    strangers = query(
        home,
        "select count(*) from {events} left join {users} as users using (user_id) "
        "left join {accounts} as accounts on users.account_id = accounts.account_id "
        "where users.user_id is null or occurred_at < accounts.created_at",
    )
    repeated = query(
        home,
        "select count(*), max(versions) from (select event_id, "
        "count(distinct (account_id, user_id, event_name, occurred_at)) as versions "
        "from {events} group by 1 having count(*) > 1)",
    )
    assert strangers == [(0,)]
    assert repeated[0][0] > 0
    assert repeated[0][1] == 1


def test_the_same_arguments_give_the_same_rows(home: Path, tmp_path: Path) -> None:
    events.make_home(tmp_path, events.Shape(40_000, **SMALL))
    other = tmp_path / "other"
    events.make_home(other, events.Shape(40_000, **SMALL, seed=2))
    digest = "select count(*), sum(hash(events) % 1000003) from {events} as events"
    assert query(tmp_path, digest) == query(home, digest)
    assert query(other, digest) != query(home, digest)


def test_the_next_day_lies_apart_until_it_is_added(tmp_path: Path) -> None:
    made = events.make_home(tmp_path, events.Shape(20_000, **SMALL))
    last = "select count(*), cast(max(occurred_at) as date) = date '2026-06-30' from {events}"
    assert query(tmp_path, last) == [(made.events, False)]
    events.add_next_day(tmp_path)
    assert query(tmp_path, last) == [(made.events + made.next_day_events, True)]
    assert made.next_day_events > 0


def test_the_worst_case_has_one_event_per_user_and_day(tmp_path: Path) -> None:
    events.make_home(tmp_path, events.Shape(10_000, **SMALL, events_per_day=1))
    rows = query(
        tmp_path,
        "select count(distinct event_id), "
        "count(distinct (user_id, cast(occurred_at as date))) from {events}",
    )
    assert rows[0][0] == rows[0][1] == pytest.approx(10_000, rel=0.06)


def test_more_events_than_the_users_could_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="600 users in 95 days cannot have 900000"):
        events.make_home(tmp_path, events.Shape(900_000, **SMALL, events_per_day=1))


def measured(seconds: float, gigabytes: float = 1.0) -> Any:
    return pipeline.Measured(seconds, seconds, gigabytes, {}, {})


def result(size: float, full: float, day: float, gigabytes: float = 1.0) -> Any:
    return pipeline.SizeResult(
        size, 20, 1, 1, 1.0, 10.0, 1, measured(full, gigabytes), measured(day)
    )


@pytest.mark.parametrize(
    ("results", "missed"),
    [
        ([result(10, 500, 25), result(100, 50, 25)], []),
        ([result(50, 50.1, 20)], ["50M: full build"]),
        ([result(1, 500, 25.1)], ["1M: one more day"]),
        ([result(1, 1, 1, 8.1)], ["1M: peak memory"]),
        ([result(10, 1, 20), result(100, 1, 23.1)], ["one more day after 100M"]),
    ],
)
def test_goals_are_missed_by_a_hair(results: list[Any], missed: list[str]) -> None:
    found = [words for words, is_met in pipeline.judge(results) if not is_met]
    assert len(found) == len(missed)
    assert all(words.startswith(start) for words, start in zip(found, missed, strict=True))
