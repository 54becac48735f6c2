"""Whole dbt builds of a small company, and row-by-row comparison of their marts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console

from customer_health import demo
from customer_health.dbt import run_dbt
from customer_health.errors import HealthError
from customer_health.progress import Reporter
from customer_health.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[1]
# They speak of runs and not of scored dates, and a run in steps reads other days than one that
# builds all at once.
NOT_COMPARED = {"fct_health__rejected_rows", "fct_health__source_rows"}
# Kept from run to run, and no mart shows all of it.
KEPT = "int_health__monthly_predictors"
Rows = dict[str, list[str]]


class Warehouse:
    """A home of its own with a copy of the raw tables, and dbt runs in it.

    variables: the project variables (without prefix) of every build.
    project: folder of the dbt project; this one unless a test has another.
    """

    def __init__(
        self,
        home: Path,
        raw_tables: Path,
        variables: Mapping[str, Any],
        project: Path = PROJECT_DIR,
    ) -> None:
        self.home = home
        self.project = project
        self.variables = dict(variables)
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
        """Build all seeds and models; tests are run elsewhere.

        As a run does it: dbt would parse the project anew for each other date.
        """
        try:
            outcome = run_dbt(
                Settings(self.project, self.home),
                "build",
                variables=self.variables | {"as_of_date": str(as_of)} | variables,
                run_dir=Path(tempfile.mkdtemp(prefix="run_", dir=self.home)),
                reporter=Reporter(Console(stderr=True), quiet=True),
                arguments=["--exclude-resource-type", "test", *arguments],
            )
        except HealthError as refusal:
            raise AssertionError(refusal.message) from refusal
        failed = [node for node in outcome.nodes if node.failed]
        if failed or not outcome.nodes:
            raise AssertionError([f"{node.name}: {node.message}" for node in failed])

    def rows(self) -> Rows:
        """All rows of all marts, as text in a fixed order."""
        with duckdb.connect(str(self.home / "candidate.duckdb"), read_only=True) as connection:
            names = connection.execute(
                "select table_name from duckdb_tables() where schema_name = 'customer_health'"
            ).fetchall()
            return {
                name: _texts(connection, f"customer_health.{name}")
                for (name,) in names
                if name not in NOT_COMPARED
            }

    def history(self) -> Rows:
        """All rows of all marts and of the table that is kept besides."""
        with duckdb.connect(str(self.home / "build.duckdb"), read_only=True) as connection:
            kept = _texts(connection, f"customer_health_intermediate.{KEPT}")
        return {**self.rows(), KEPT: kept}


def _texts(connection: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    """All rows of a table, as text in a fixed order."""
    return sorted(map(repr, connection.execute(f"from {relation}").fetchall()))


def different(left: Rows, right: Rows) -> dict[str, list[str]]:
    """Tables that differ, with a few of the rows that only one side has."""
    return {
        name: sorted(set(left.get(name, [])) ^ set(right.get(name, [])))[:4]
        for name in left.keys() | right.keys()
        if left.get(name) != right.get(name)
    }
