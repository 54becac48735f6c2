"""PostgreSQL for the tests of engines: loading raw tables, reading marts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import engine_case
import psycopg2
from compare import Table, Tables

from customer_health import demo

PASSWORD_VARIABLE = "DBT_ENV_SECRET_POSTGRES_PASSWORD"
_TYPES = {
    "VARCHAR": "text",
    "BIGINT": "bigint",
    "DOUBLE": "double precision",
    "TIMESTAMP": "timestamp",
    "DATE": "date",
    "BOOLEAN": "boolean",
}


def environment(socket: str, database: str, password: str) -> dict[str, str]:
    """What a process needs to reach the database through the target `postgres`."""
    return engine_case.environment(
        CUSTOMER_HEALTH_TARGET="postgres",
        CUSTOMER_HEALTH_POSTGRES_HOST=socket,
        CUSTOMER_HEALTH_POSTGRES_USER="health",
        CUSTOMER_HEALTH_POSTGRES_DATABASE=database,
        **{PASSWORD_VARIABLE: password},
    )


def connect(variables: dict[str, str]) -> Any:
    """A session that commits each statement."""
    session = psycopg2.connect(
        host=variables["CUSTOMER_HEALTH_POSTGRES_HOST"],
        user=variables["CUSTOMER_HEALTH_POSTGRES_USER"],
        dbname=variables["CUSTOMER_HEALTH_POSTGRES_DATABASE"],
        password=variables[PASSWORD_VARIABLE],
    )
    session.autocommit = True
    return session


def load(landing: Path, variables: dict[str, str]) -> None:
    """Put the raw tables of a day into the schema `raw`, in place of those of the day before."""
    session = connect(variables)
    with (
        duckdb.connect(str(landing), read_only=True) as source,
        session.cursor() as cursor,
    ):
        cursor.execute("create schema if not exists raw")
        for table in demo.TABLES:
            described = source.execute(f"describe raw.{table}").fetchall()
            columns = ", ".join(f"{row[0]} {_TYPES[row[1]]}" for row in described)
            cursor.execute(f"create table if not exists raw.{table} ({columns})")
            cursor.execute(f"truncate raw.{table}")
            file = landing.with_name(f"{landing.stem}_{table}.csv")
            source.execute(f"copy raw.{table} to '{file}' (header false, nullstr '\\N')")
            with file.open(encoding="utf-8") as rows:
                cursor.copy_expert(
                    f"copy raw.{table} from stdin with (format csv, null '\\N')", rows
                )
            file.unlink()
            cursor.execute(f"analyze raw.{table}")
    session.close()


def read_published(variables: dict[str, str]) -> Tables:
    """All views of the readers' schema."""
    found: Tables = {}
    session = connect(variables)
    with session.cursor() as cursor:
        cursor.execute(
            "select table_name from information_schema.views "
            "where table_schema = 'customer_health_published' order by 1"
        )
        for (name,) in list(cursor.fetchall()):
            cursor.execute(f"select * from customer_health_published.{name}")
            columns = tuple(column[0] for column in cursor.description)
            found[name] = Table(columns, list(cursor.fetchall()))
    session.close()
    return found
