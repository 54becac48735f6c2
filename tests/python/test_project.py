"""The real project from the user's chair: the demo command, and dbt as people type it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest
from forked import run_module

from customer_health import demo

PROJECT_DIR = Path(__file__).resolve().parents[2]
VARS = json.dumps({"customer_health__as_of_date": "2026-06-30"})


def environment(home: Path) -> dict[str, str]:
    return os.environ | {
        "CUSTOMER_HEALTH_HOME": str(home),
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "log"),
    }


def command_line(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = ("--home", str(home), *arguments)
    return run_module("customer_health", given, cwd=PROJECT_DIR, env=environment(home))


def run_dbt(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_module("dbt.cli.main", arguments, cwd=PROJECT_DIR, env=environment(home))


def dbt_results(home: Path) -> list[dict[str, Any]]:
    return json.loads((home / "target" / "run_results.json").read_text())["results"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published demo company of 40 accounts."""
    folder = tmp_path_factory.mktemp("demo")
    size = ("--accounts", "40", "--days", "300", "--events", "15000")
    done = command_line(folder, "demo", *size)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def query(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(
        str(home / "published.duckdb"),
        read_only=True,
        config={"enable_external_access": "false"},
    ) as connection:
        return connection.execute(sql).fetchall()


def test_the_published_copy_is_whole(home: Path) -> None:
    (scored,) = query(home, "select count(*) from customer_health.fct_health__account_scores")[0]
    assert scored > 1000
    assert not (home / "published.duckdb.wal").exists()
    current = query(
        home,
        """
        select count(*), count(publication_id), count(distinct publication_id)
        from customer_health.fct_health__account_scores_current
        """,
    )[0]
    assert current[0] > 20 and current[1] == current[0] and current[2] == 1
    for view in (
        "bi_health__account_360",
        "fct_health__metric_scores",
        "sync_health__crm_accounts",
    ):
        assert query(home, f"select count(*) from customer_health.{view}_current")[0][0] > 0


def test_points_and_ledger_add_up(home: Path) -> None:
    (off,) = query(
        home,
        """
        select max(abs(points - health_score_exact)) from (
            select scores.health_score_exact, sum(metrics.metric_points) as points
            from customer_health.fct_health__account_scores as scores
            inner join customer_health.fct_health__metric_scores as metrics
                using (account_id, as_of_date)
            where metrics.purpose = 'health' and scores.health_score_exact is not null
            group by scores.account_id, scores.as_of_date, scores.health_score_exact
        )
        """,
    )[0]
    assert off is not None and off < 1e-9
    (off,) = query(
        home,
        """
        select max(abs(moved - (later.health_score_exact - earlier.health_score_exact)))
        from (
            select account_id, as_of_date, lag_key, compared_date, sum(change_points) as moved
            from customer_health.fct_health__score_changes
            group by all
        ) as ledger
        inner join customer_health.fct_health__account_scores as later
            using (account_id, as_of_date)
        inner join customer_health.fct_health__account_scores as earlier
            on earlier.account_id = ledger.account_id and earlier.as_of_date = ledger.compared_date
        """,
    )[0]
    assert off is not None and off < 1e-6


def test_status_and_explain_answer_machines(home: Path) -> None:
    status = command_line(home, "status", "--json")
    assert status.returncode == 0
    assert json.loads(status.stdout)["publication"]["as_of_date"] == "2026-06-30"
    account_id = query(
        home,
        "select account_id from customer_health.fct_health__account_scores_current "
        "where health_score is not null order by 1 limit 1",
    )[0][0]
    explained = command_line(home, "explain", account_id, "--json")
    assert explained.returncode == 0, explained.stderr
    assert account_id in explained.stdout


def test_plain_dbt_build_never_touches_what_readers_see(home: Path) -> None:
    before = (home / "published.duckdb").read_bytes()
    built = run_dbt(home, "build", "--vars", VARS, "--select", "marts", "resource_type:snapshot")
    assert built.returncode == 0, built.stdout[-3000:]
    assert not [node for node in dbt_results(home) if node["unique_id"].startswith("snapshot.")]
    assert (home / "published.duckdb").read_bytes() == before


def test_unit_tests_of_the_sql(home: Path) -> None:
    done = run_dbt(home, "test", "--vars", VARS, "--select", "test_type:unit")
    results = dbt_results(home)
    assert [node["unique_id"] for node in results if node["status"] != "pass"] == [], done.stdout
    assert len(results) > 150


@pytest.fixture(scope="module")
def parsed(home: Path) -> subprocess.CompletedProcess[str]:
    return run_dbt(home, "--warn-error", "parse", "--no-partial-parse", "--vars", VARS)


def test_yaml_has_no_deprecations(parsed: subprocess.CompletedProcess[str]) -> None:
    # without publishing the snapshots are disabled, and dbt finds their configuration unused
    said = [line for line in parsed.stdout.splitlines() if "rror" in line]
    assert parsed.returncode == 0 or "snapshots.customer_health" in parsed.stdout, said


def test_source_freshness_runs(home: Path) -> None:
    done = run_dbt(home, "source", "freshness", "--vars", VARS)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (home / "target" / "sources.json").exists()


def test_state_selection_finds_no_change(
    home: Path, parsed: subprocess.CompletedProcess[str]
) -> None:
    state = home / "state"
    state.mkdir()
    (state / "manifest.json").write_bytes((home / "target" / "manifest.json").read_bytes())
    selected = ("--select", "state:modified", "--state", str(state), "--resource-type", "model")
    listed = run_dbt(home, "--quiet", "ls", "--vars", VARS, *selected)
    assert listed.returncode == 0, listed.stdout
    assert not [line for line in listed.stdout.splitlines() if line.startswith("customer_health.")]


def test_an_empty_build_needs_no_rows(tmp_path: Path) -> None:
    demo.generate(tmp_path / "raw", accounts=40, days=200, events=2_000)
    demo.create_landing(tmp_path)
    done = run_dbt(
        tmp_path, "build", "--empty", "--vars", VARS, "--exclude-resource-type", "test", "unit_test"
    )
    assert done.returncode == 0, done.stdout[-3000:]
