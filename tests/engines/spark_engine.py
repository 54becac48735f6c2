"""Spark for the tests of engines: loading raw tables, reading marts."""

from __future__ import annotations

from pathlib import Path

import duckdb
import engine_case
from compare import Table, Tables
from spark_cluster import Cluster

from customer_health import demo
from customer_health.spark_server import SparkServer

READERS = "customer_health_published"


def environment(cluster: Cluster) -> dict[str, str]:
    """What a process needs to reach the cluster through the target `spark`."""
    return engine_case.environment(**cluster.environment)


def server(cluster: Cluster) -> SparkServer:
    """The cluster's Thrift server."""
    variables = cluster.environment
    return SparkServer.from_profile(
        {
            "host": variables["CUSTOMER_HEALTH_SPARK_HOST"],
            "port": variables["CUSTOMER_HEALTH_SPARK_PORT"],
        }
    )


def load(landing: Path, cluster: Cluster) -> None:
    """Put the raw tables of a day into the schema `raw`, in place of those of the day before."""
    with (
        duckdb.connect(str(landing), read_only=True) as source,
        server(cluster).session() as session,
    ):
        session.run("create schema if not exists raw")
        for table in demo.TABLES:
            described = source.execute(f"describe raw.{table}").fetchall()
            file = cluster.folder / "tmp" / f"{landing.stem}_{table}.parquet"
            source.execute(f"copy raw.{table} to '{file}'")
            session.run(
                f"create or replace temporary view incoming using parquet options (path '{file}')"
            )
            # DuckDB's timestamps are without a zone, those of Spark instants, shown in UTC.
            columns = ", ".join(
                f"cast({name} as timestamp) as {name}" if kind == "TIMESTAMP" else name
                for name, kind, *_ in described
            )
            session.run(
                f"create or replace table raw.{table} using iceberg as select {columns} "
                "from incoming"
            )
            file.unlink()


def read_published(cluster: Cluster) -> Tables:
    """All views of the readers' schema."""
    found: Tables = {}
    with server(cluster).session() as session:
        names = sorted(str(row[1]) for row in session.rows(f"show views in {READERS}") if row[0])
        for name in names:
            rows = session.rows(f"select * from {READERS}.{name}")
            found[name] = Table(session.columns(), rows)
    return found
