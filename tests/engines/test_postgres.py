"""The whole project on PostgreSQL: two days, every published mart as on DuckDB."""

from __future__ import annotations

import json
from collections.abc import Iterator

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
