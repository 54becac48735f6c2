"""The whole project on a Spark cluster: two days, every published mart as on DuckDB."""

from __future__ import annotations

import json
from pathlib import Path

import engine_case
import pytest
import spark_engine
from compare import differences, expect_rows, read_duckdb
from engine_case import DAYS, Case
from spark_cluster import Cluster

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


@pytest.mark.timeout(3600)
def test_two_days_give_the_same_marts_as_duckdb(case: Case, spark: Cluster) -> None:
    """Late, new, changed and deleted rows on the second day; every mart and snapshot is equal."""
    home: Path = case.folder / "spark"
    variables = spark_engine.environment(spark)

    def health(*arguments: str) -> str:
        done = engine_case.command(case.project, home, variables, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for landing, day, published in zip(case.days, DAYS, case.published, strict=True):
        spark_engine.load(landing, spark)
        assert "customer_health_published" in health("run", f"--as-of={day}")
        expected, found = read_duckdb(published), spark_engine.read_published(spark)
        expect_rows(found, FILLED)
        assert differences(expected, found) == {}
    kept = json.loads(health("rollback", "--list", "--json"))
    assert [each["state"] for each in kept["kept"]] == ["current", "kept"]
    account = found["bi_health__account_360_current"].rows[0][1]
    assert json.loads(health("explain", str(account), "--json"))["account"]["account_id"] == account
    health("rollback", "--yes")
    assert differences(read_duckdb(case.published[0]), spark_engine.read_published(spark)) == {}
