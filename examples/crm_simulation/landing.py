"""Load the files of the simulation into landing.duckdb, with types and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

# Ids are text: a number would lose leading zeros. What a column means: models/staging/_sources.yml.
TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "account": (
        "account.csv",
        {
            "account_id": "varchar",
            "channel": "varchar",
            "date_of_birth": "date",
            "country": "varchar",
            "start_date": "date",
        },
    ),
    "subscription": (
        "subscription.csv",
        {
            "account_id": "varchar",
            "product": "varchar",
            "start_date": "date",
            "end_date": "date",
            "mrr": "double",
            "quantity": "bigint",
            "units": "varchar",
            "bill_period_months": "bigint",
            "discount": "double",
        },
    ),
    "event_daily": (
        "event_daily.csv.gz",
        {
            "account_id": "varchar",
            "event_date": "date",
            "event_type": "varchar",
            "event_count": "bigint",
            "active_users": "bigint",
            "event_value": "double",
        },
    ),
    # Read by evaluate.py alone: no model of the project knows the outcome.
    "outcome": ("outcome.csv", {"account_id": "varchar", "churn_date": "date"}),
}


def missing_files(data: Path) -> list[str]:
    """Names of the files that `data` lacks."""
    return [name for name, _ in TABLES.values() if not (data / name).is_file()]


def load(data: Path, home: Path, accounts: int | None = None) -> dict[str, int]:
    """(Re)create `home/landing.duckdb` with one table a file, in the schema `raw`.

    Args:
        data: folder with the files of the simulation.
        home: folder of the databases.
        accounts: only the first so many accounts, for quick tests; None for all.

    Returns:
        Rows per table.

    Raises:
        FileNotFoundError: when a file is missing; the old database is then as it was.
    """
    missing = missing_files(data)
    if missing:
        raise FileNotFoundError(f"{data} has no {', '.join(missing)}")
    home.mkdir(parents=True, exist_ok=True)
    scratch = home / f".landing-{os.getpid()}.duckdb"
    scratch.unlink(missing_ok=True)
    rows: dict[str, int] = {}
    try:
        with duckdb.connect(str(scratch)) as connection:
            connection.execute("create schema raw")
            for table, (file_name, columns) in TABLES.items():
                source = connection.read_csv(
                    str(data / file_name),
                    header=True,
                    columns=columns,
                )
                if accounts is not None:
                    source = source.filter(f"try_cast(account_id as bigint) < {int(accounts)}")
                source.create(f"raw.{table}")
                counted = connection.table(f"raw.{table}").aggregate("count(*)").fetchone()
                rows[table] = int(counted[0]) if counted else 0
        scratch.replace(home / "landing.duckdb")
    finally:
        scratch.unlink(missing_ok=True)
    return rows
