"""Whole dbt builds of a small company, and row-by-row comparison of their marts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from customer_health import demo
from customer_health.dbt import release_connections

PROJECT_DIR = Path(__file__).resolve().parents[1]
# They speak of runs and not of scored dates, and a run in steps reads other days than one that
# builds all at once.
NOT_COMPARED = {"fct_health__rejected_rows", "fct_health__source_rows"}
Rows = dict[str, list[str]]


class Warehouse:
    """A home of its own with a copy of the raw tables, and dbt runs in it.

    variables: the project variables (without prefix) of every build.
    """

    def __init__(self, home: Path, raw_tables: Path, variables: Mapping[str, Any]) -> None:
        self.home = home
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
        """Build all seeds and models; tests are run elsewhere."""
        from dbt.cli.main import dbtRunner

        named = self.variables | {"as_of_date": str(as_of)} | variables
        given = {f"customer_health__{name}": value for name, value in named.items()}
        os.environ["CUSTOMER_HEALTH_HOME"] = str(self.home)
        result = dbtRunner().invoke(
            [
                "--quiet",
                "build",
                *("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"),
                *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)),
                *("--target-path", str(self.home / "target"), "--log-path", str(self.home / "log")),
                *("--vars", json.dumps(given)),
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
