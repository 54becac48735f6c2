"""Leak tests 1 and 2 of `validate`: an old date is built again, and a planted leak does not pass.

Two small companies are built by dbt: one by the project as it is, one by a copy of which a signal
counts tickets of the future.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rich.console import Console

from customer_health import dbt, demo
from customer_health.errors import HealthError, UsageError
from customer_health.progress import Reporter
from customer_health.settings import Settings
from customer_health.validation import rebuild
from customer_health.validation.figures import Figures
from customer_health.validation.rebuild import Rows

PROJECT_DIR = Path(__file__).resolve().parents[2]
AS_OF = date(2026, 6, 30)
DAY = date(2026, 3, 29)
PARTS = ("dbt_project.yml", "profiles.yml", "macros", "models", "seeds", "snapshots")
SUPPORT = "models/intermediate/signals/int_health__signals_support.sql"
BOUND = """\
            metric_dates.as_of_date > dated_tickets.opened_on
            and metric_dates.window_from <= dated_tickets.opened_on
"""
REPORTER = Reporter(Console(stderr=True), quiet=True)


def copy_project(target: Path) -> Path:
    for part in PARTS:
        source = PROJECT_DIR / part
        target.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target / part)
    return target


@pytest.fixture(scope="module")
def raw_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw tables of a small company."""
    home = tmp_path_factory.mktemp("raw")
    demo.generate(
        home / "raw", accounts=40, days=300, events=15_000, seed=20260630, end_date=AS_OF,
        progress=lambda *_: None,
    )  # fmt: skip
    demo.create_landing(home)
    return home


def build(settings: Settings, raw_home: Path) -> Settings:
    """Score the company up to its last date."""
    settings.prepare()
    shutil.copy(raw_home / "landing.duckdb", settings.landing)
    outcome = dbt.run_dbt(
        settings,
        "build",
        variables={"as_of_date": AS_OF.isoformat()},
        run_dir=settings.runs_dir / "build",
        reporter=REPORTER,
        arguments=[
            *("--select", f"+{rebuild.STORED}", f"+{rebuild.METRICS}"),
            *("--exclude-resource-type", "test", "unit_test", "snapshot"),
        ],
    )
    outcome.require_success(settings.runs_dir / "build" / "dbt.log")
    return settings


def figures(settings: Settings) -> Figures:
    return Figures(
        "candidate", settings.candidate, AS_OF, None, "v1", "standard", "champion", limits={}
    )


@contextmanager
def scores_of(settings: Settings) -> Iterator[Any]:
    with duckdb.connect(str(settings.candidate), read_only=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders are made; nothing is left there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def files_of(home: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in home.rglob("*")
        if path.is_file()
    }


# -- with real builds ----------------------------------------------------------------------------
def test_the_scores_of_this_project_survive_absurd_rows(
    raw_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One build proves both; the home folder is left alone, relative paths and all."""
    project = copy_project(tmp_path / "project")
    settings = build(Settings.resolve(project, tmp_path / "home"), raw_home)
    before = files_of(settings.home)
    builds = []
    real = rebuild._build

    def counted(*arguments: Any, **more: Any) -> Any:
        builds.append(arguments[3])
        return real(*arguments, **more)

    monkeypatch.setattr(rebuild, "_build", counted)
    with scores_of(settings) as connection:
        tests = rebuild.look_at_rebuild(settings, connection, figures(settings), DAY, REPORTER)
    assert [(test.number, test.status) for test in tests] == [(1, "passed"), (2, "passed")]
    assert tests[0].details["added_rows"] > 30_000
    assert tests[0].details["set_aside"] == []
    assert tests[1].details["accounts"] > 20
    assert builds == [True]
    assert files_of(settings.home) == before


def test_a_signal_that_reads_the_future_is_caught_and_named(raw_home: Path, tmp_path: Path) -> None:
    """It repeats itself perfectly, so that only the poison shows it."""
    project = copy_project(tmp_path / "project")
    sql = (project / SUPPORT).read_text()
    assert sql.count(BOUND) == 1
    kept = BOUND.splitlines(keepends=True)[1].replace("            and ", "            ")
    (project / SUPPORT).write_text(sql.replace(BOUND, kept))
    settings = build(Settings.resolve(project, tmp_path / "home"), raw_home)
    with scores_of(settings) as connection:
        poison, travel = rebuild.look_at_rebuild(
            settings, connection, figures(settings), DAY, REPORTER
        )
    assert poison.status == "failed"
    assert set(poison.blamed) == {"tickets", "ticket_complexity"}
    assert f"change scores of {DAY}" in poison.finding
    assert travel.status == "passed"


# -- what is made of two builds ------------------------------------------------------------------
@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with stored scores of four Sundays and a Monday."""
    made = Settings.resolve(copy_project(tmp_path / "project"), tmp_path / "home")
    made.prepare()
    made.landing.touch()
    with duckdb.connect(str(made.candidate)) as connection:
        connection.execute("create schema customer_health")
        connection.execute(
            "create table customer_health.fct_health__account_scores as "
            "select unnest([date '2025-11-02', date '2026-03-29', date '2026-03-30', "
            "date '2026-06-07', date '2026-06-28']) as as_of_date, 'A1' as account_id, "
            "'v1' as scoring_version, 'standard' as scorecard_key, 50.0 as health_score_exact, "
            "1.0 as coverage, 'at_risk' as band"
        )
    return made


Builds = Callable[[Rows, Rows], None]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Builds:
    """Says what the two builds come to, the one with absurd rows first."""

    def say(poisoned: Rows, clean: Rows) -> None:
        def build(*arguments: Any, **_: Any) -> tuple[Rows, int]:
            return (poisoned, 99) if arguments[3] else (clean, 0)

        monkeypatch.setattr(rebuild, "_build", build)
        monkeypatch.setattr(rebuild, "_scores", lambda *_: STORED.scores)
        monkeypatch.setattr(rebuild, "_metrics", lambda *_: STORED.metrics)

    return say


def look(settings: Settings, day: date | None = None) -> list[Any]:
    with scores_of(settings) as connection:
        return rebuild.look_at_rebuild(settings, connection, figures(settings), day, REPORTER)


def rows(scores: dict[str, float], metrics: dict[tuple[str, str], float]) -> Rows:
    """Rows of a date, with a coverage of 1 and the band of the score."""
    key = ("v1", "standard")
    return Rows(
        {(account, *key): (score, 1.0, "healthy") for account, score in scores.items()},
        {(account, *key, metric): (value,) for (account, metric), value in metrics.items()},
    )


STORED = rows({"A1": 50.0, "A2": 60.0, "A3": 70.0}, {("A1", "nps"): 5, ("A3", "logins"): 9})
OTHER = rows({"A1": 50.0000000001, "A2": 60.0, "A3": 70.0},
             {("A1", "nps"): 6, ("A3", "logins"): 9})  # fmt: skip


def test_scores_that_cannot_be_repeated_are_told_from_poison(
    settings: Settings, built: Builds
) -> None:
    built(OTHER, OTHER)
    poison, travel = look(settings)
    assert (poison.status, travel.status) == ("passed", "failed")
    assert travel.blamed == ("nps",)
    told = "1 of 3 accounts differ in health_score_exact (first A1); most moved: nps"
    assert told in travel.finding


def test_both_leaks_are_told(settings: Settings, built: Builds) -> None:
    moved = rows({"A1": 50.0000000001, "A2": 60.0, "A3": 99.0},
                 {("A1", "nps"): 6, ("A3", "logins"): 9e9})  # fmt: skip
    built(moved, OTHER)
    poison, travel = look(settings)
    assert (poison.status, poison.blamed) == ("failed", ("logins",))
    told = "1 of 3 accounts differ in health_score_exact (first A3); most moved: logins"
    assert told in poison.finding
    assert (travel.status, travel.blamed) == ("failed", ("nps",))


def test_an_account_that_only_one_build_has_differs(settings: Settings, built: Builds) -> None:
    more = rows({"A1": 50.0, "A2": 60.0, "A3": 70.0, "A4": 1.0}, {})
    built(more, STORED)
    poison, travel = look(settings)
    assert (poison.status, travel.status) == ("failed", "passed")
    assert "1 of 4 accounts differ in being there at all (first A4)" in poison.finding


def test_own_raw_tables_are_not_poisoned_and_the_report_says_so(
    settings: Settings, built: Builds
) -> None:
    project = settings.project_dir / "dbt_project.yml"
    project.write_text(project.read_text().replace("name: customer_health", "name: my_company", 1))
    built(OTHER, STORED)
    poison, travel = look(settings)
    assert (poison.status, travel.status) == ("skipped", "passed")
    assert "stages 19 raw tables by models of its own" in poison.finding


def test_by_default_a_sunday_three_months_back_is_built(settings: Settings, built: Builds) -> None:
    built(STORED, STORED)
    assert look(settings)[1].details["date"] == "2026-03-29"
    assert look(settings, date(2026, 6, 7))[1].details["date"] == "2026-06-07"


@pytest.mark.parametrize("day", [date(2026, 3, 30), date(2024, 1, 7)])
def test_a_day_without_stored_sunday_scores_is_refused(settings: Settings, day: date) -> None:
    with pytest.raises(UsageError, match="the nearest is 20"):
        look(settings, day)


def test_changed_seeds_are_no_time_travel(settings: Settings, built: Builds) -> None:
    """Scores of other seeds would differ for a reason that everybody knows."""
    built(OTHER, OTHER)
    settings.candidate_state.write_text('{"policy_hashes": {"v1": "of other seeds"}}')
    for test in look(settings):
        assert test.status == "skipped"
        assert "the seeds of version v1 were changed since" in test.finding


@pytest.mark.parametrize("error", [KeyboardInterrupt, HealthError("dbt build: no (log: x)")])
def test_the_scratch_folder_is_removed_whatever_happens(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, scratch: Path, error: Any
) -> None:
    settings.landing.unlink()
    duckdb.connect(str(settings.landing)).execute(
        "create schema raw; create table raw.crm_accounts as select 'A1' as account_id"
    ).close()
    seen = []

    def fail(beside: Settings, *_: Any, **__: Any) -> None:
        seen.append(beside.home)
        assert beside.home.is_relative_to(scratch)
        raise error

    monkeypatch.setattr(dbt, "run_dbt", fail)
    with pytest.raises((KeyboardInterrupt, HealthError)) as raised:
        look(settings)
    assert len(seen) == 1
    if raised.type is HealthError:
        assert str(raised.value) == (
            "leak tests 1 and 2: dbt build: no; --no-rebuild leaves them out"
        )
