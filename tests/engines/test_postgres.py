"""The whole project on PostgreSQL: two days, every published mart as on DuckDB."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import engine_case
import postgres_engine
import postgres_server
import pytest
from compare import differences, expect_rows, read_duckdb
from engine_case import DAYS, Case

DATABASE = "health"
FILLED = [
    "bi_health__account_360",
    "bi_health__account_360_current",
    "fct_health__account_scores",
    "fct_health__metric_scores",
    "fct_health__publication_checks",
    "fct_health__rejected_rows",
    "fct_health__score_changes",
    "snap_health__account_scores",
    "sync_health__crm_accounts",
    "val_health__observations",
]


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    """A server with an empty database, as the environment of processes."""
    assert postgres_server.programs(), "install PostgreSQL 15 or later (apt-get install postgresql)"
    with postgres_server.server() as socket:
        postgres_server.execute(socket, "postgres", f"create database {DATABASE}")
        yield postgres_engine.environment(socket, DATABASE, postgres_server.PASSWORD)


def assert_pages_show_the_same(case: Case, variables: dict[str, str], account: str) -> None:
    """The app shows on PostgreSQL what it shows on DuckDB, but for what is told of runs."""
    copy = case.folder / "duckdb-pages"
    copy.mkdir()
    shutil.copyfile(case.published[1], copy / "published.duckdb")
    expected = draw(case, copy, engine_case.environment(), account)
    found = draw(case, case.folder / "postgres", variables, account)
    del expected["data_quality"], found["data_quality"]  # kept copies and runs are of an engine
    for page, text in expected.items():
        assert found[page] == text, page


def draw(case: Case, home: Path, variables: dict[str, str], account: str) -> dict[str, str]:
    """What the pages show, drawn in a process of its own."""
    script = Path(engine_case.__file__).with_name("pages.py")
    beside = Path(postgres_server.__file__).parent
    paths = os.pathsep.join((variables["PYTHONPATH"], str(beside)))
    done = subprocess.run(
        [sys.executable, str(script), str(case.project), str(home), account],
        env={**variables, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_two_days_give_the_same_marts_as_duckdb(case: Case, variables: dict[str, str]) -> None:
    """Late, new, changed and deleted rows on the second day; every mart and snapshot is equal."""
    home = case.folder / "postgres"

    def health(*arguments: str) -> str:
        done = engine_case.command(case.project, home, variables, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    different = {}
    for landing, day, published in zip(case.days, DAYS, case.published, strict=True):
        postgres_engine.load(landing, variables)
        assert "customer_health_published" in health("run", f"--as-of={day}")
        expected, found = read_duckdb(published), postgres_engine.read_published(variables)
        expect_rows(found, FILLED)
        different[day] = differences(expected, found)
    assert different == {day: {} for day in DAYS}
    status = json.loads(health("status", "--json"))
    assert status["publication"]["as_of_date"] == str(DAYS[1])
    assert [kept["state"] for kept in status["kept_publications"]] == ["current", "kept"]
    account = found["bi_health__account_360_current"].rows[0][1]
    assert json.loads(health("explain", str(account), "--json"))["account"]["account_id"] == account
    assert_pages_show_the_same(case, variables, str(account))
    health("rollback", "--yes")
    assert (
        differences(read_duckdb(case.published[0]), postgres_engine.read_published(variables)) == {}
    )
    refused = engine_case.command(case.project, home, variables, "publish")
    assert refused.returncode == 1
    assert "was rolled back" in refused.stderr
    for command in ("forget --user=x --yes", "export --list", "train", "validate"):
        refused = engine_case.command(case.project, home, variables, *command.split())
        assert refused.returncode == 2
        assert "DuckDB files only" in refused.stderr
