"""Connectors on PostgreSQL give the same rows as on DuckDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import postgres_server
import pytest
from test_connectors_round_trip import DEPLOYMENTS, landed

from customer_health.settings import CONNECTORS

pytestmark = pytest.mark.skipif(
    postgres_server.programs() is None, reason="no PostgreSQL on this machine"
)


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    with postgres_server.server() as folder:
        yield folder


def rows(found: Sequence[tuple[Any, ...]]) -> list[str]:
    """Rows as text in a fixed order; numbers of any type alike."""
    return sorted(
        str(
            [
                round(float(value), 6)
                if isinstance(value, int | float | Decimal) and not isinstance(value, bool)
                else str(value)
                for value in row
            ]
        )
        for row in found
    )


@pytest.mark.parametrize("name", ["hubspot", "salesforce"])
def test_rows_are_those_of_duckdb(
    name: str, socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = DEPLOYMENTS[name]
    world = landed(tmp_path, deployment)
    world.build(deployment.variables)
    tables = [
        f"con_health__{vendor}__{table}"
        for domain, vendor in deployment.vendors.items()
        for table in CONNECTORS[domain][vendor]
    ]
    on_duckdb = {
        table: rows(world.rows(f"select * from customer_health_staging.{table}"))
        for table in tables
    }
    identity = "customer_health_intermediate.int_health__account_identity"
    links = rows(world.rows(f"select * from {identity}"))

    postgres_server.copy_database(world.home / "landing.duckdb", socket, name)
    monkeypatch.setenv("CUSTOMER_HEALTH_POSTGRES_HOST", socket)
    monkeypatch.setenv("CUSTOMER_HEALTH_POSTGRES_USER", "health")
    monkeypatch.setenv("CUSTOMER_HEALTH_POSTGRES_DATABASE", name)
    monkeypatch.setenv("DBT_ENV_SECRET_POSTGRES_PASSWORD", postgres_server.PASSWORD)
    world.build(deployment.variables, target="postgres")
    for table in tables:
        query = f"select * from customer_health_staging.{table}"
        found = postgres_server.execute(socket, name, query)
        assert rows(found) == on_duckdb[table], table
    assert rows(postgres_server.execute(socket, name, f"select * from {identity}")) == links
