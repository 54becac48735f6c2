"""Connectors on DuckDB: tables in a vendor's shape in, rows of the input contract out.

A world has the databases of one deployment. Its vendors' tables come from DuckDB queries, its
connectors, staging models and the account identity are built by dbt in this process.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from customer_health import demo
from customer_health.dbt import release_connections

PROJECT_DIR = Path(__file__).resolve().parents[2]
CONTRACT_TABLES = (
    "crm_accounts",
    "crm_contacts",
    "crm_opportunities",
    "crm_touchpoints",
    "product_users",
    "product_events",
    "support_tickets",
    "survey_responses",
    "billing_subscriptions",
    "billing_invoices",
)


class ConnectorWorld:
    """A home with raw tables of the input contract and schemas of vendors.

    Attributes:
        home: folder of the databases; in `landing.duckdb` the schema raw has a small demo company.
    """

    def __init__(
        self, home: Path, accounts: int = 40, days: int = 120, events: int = 4_000
    ) -> None:
        self.home = home
        demo.generate(home / "raw", accounts=accounts, days=days, events=events)
        demo.create_landing(home)

    def land(self, *statements: str) -> None:
        """Run statements in the landing database, such as `create table zendesk.ticket as …`.

        The demo's tables are there as raw.<table>.
        """
        with duckdb.connect(str(self.home / "landing.duckdb")) as connection:
            connection.execute("set timezone = 'UTC'")
            for statement in statements:
                connection.execute(statement)

    def land_csv(self, schema: str, files: Mapping[str, Path]) -> None:
        """Create tables of a vendor's schema from CSV files with a header."""
        self.land(
            f"create schema if not exists {schema}",
            *(
                f"create or replace table {schema}.{table} as "
                f"select * from read_csv('{file}', header = true, sample_size = -1)"
                for table, file in files.items()
            ),
        )

    def build(
        self,
        variables: Mapping[str, Any],
        select: Sequence[str] = (),
        target: str = "dev",
        exclude: Sequence[str] = (),
    ) -> None:
        """Build connectors, the staging models on top of them and the account identity.

        Args:
            variables: ours, without prefix, such as `{"support_connector": "zendesk"}`.
            select: dbt selectors; none: all of the above.
            target: dbt target.
            exclude: dbt selectors of what is left out.

        Raises:
            AssertionError: naming the nodes that failed, with dbt's messages.
        """
        result = self._dbt(variables, select, target, exclude)
        if not result.success:
            failed = getattr(result.result, "results", [])
            messages = [f"{node.node.name}: {node.message}" for node in failed if node.message]
            raise AssertionError(f"{result.exception or ''} {messages}")

    def refusal(self, variables: Mapping[str, Any], select: Sequence[str] = ()) -> str:
        """What a build that must fail says."""
        result = self._dbt(variables, select)
        assert not result.success
        failed = getattr(result.result, "results", None) or []
        return " ".join([str(result.exception or ""), *(str(node.message) for node in failed)])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of customer_health_staging, customer_health_intermediate, marts and landing."""
        with duckdb.connect(str(self.home / "build.duckdb")) as connection:
            connection.execute(
                f"attach if not exists '{self.home / 'landing.duckdb'}' as landing (read_only)"
            )
            connection.execute(
                f"attach if not exists '{self.home / 'candidate.duckdb'}' as marts (read_only)"
            )
            connection.execute("set timezone = 'UTC'")
            return connection.execute(query).fetchall()

    def change(self, statement: str) -> None:
        """Run a statement in the database that dbt writes."""
        with duckdb.connect(str(self.home / "build.duckdb")) as connection:
            connection.execute(statement)

    def _dbt(
        self,
        variables: Mapping[str, Any],
        select: Sequence[str],
        target: str = "dev",
        exclude: Sequence[str] = (),
    ) -> Any:
        from dbt.cli.main import dbtRunner

        os.environ["CUSTOMER_HEALTH_HOME"] = str(self.home)
        parsed = _parsed(json.dumps(variables, sort_keys=True), target)
        if not parsed.success:
            return parsed
        chosen = select or (
            "path:models/staging/connectors",
            *(f"stg_health__{table}" for table in CONTRACT_TABLES),
            "path:models/intermediate/identity",
            "account_map",
            "account_link_methods",
            "free_mail_domains",
            "currency_minor_units",
        )
        result = dbtRunner(manifest=parsed.result).invoke(
            [
                "--quiet",
                "build",
                *("--exclude-resource-type", "unit_test"),
                "--select",
                *chosen,
                *(("--exclude", *exclude) if exclude else ()),
                *("--indirect-selection", "cautious"),
                *_place(self.home, target, {"as_of_date": "2026-06-30", **variables}),
            ]
        )
        release_connections()
        return result


@lru_cache(maxsize=4)  # each takes 50 MB
def _parsed(variables: str, target: str) -> Any:
    """dbt's answer when it parses the project for these variables, once for all homes.

    A parsed project knows a database by the name of its file, which is that of every home.
    """
    from dbt.cli.main import dbtRunner

    with tempfile.TemporaryDirectory() as folder:
        return dbtRunner().invoke(
            ["--quiet", "parse", *_place(Path(folder), target, json.loads(variables))]
        )


def _place(home: Path, target: str, variables: Mapping[str, Any]) -> list[str]:
    """Options of dbt that name project, target, folders and variables."""
    given = {f"customer_health__{name}": value for name, value in variables.items()}
    return [
        *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)),
        *("--target", target),
        *("--target-path", str(home / "target"), "--log-path", str(home / "log")),
        *("--vars", json.dumps(given)),
    ]
