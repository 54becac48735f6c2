"""What readers have on two engines, row by row: equal, numbers to 1e-9.

Ids and instants that every publication makes anew are replaced by their place in the list of
publications, or left out; docs/engines.md names them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

TOLERANCE = 1e-9
# Of one run: its id, its moment, the commit of the folder, keys that dbt derives from now.
OF_A_RUN = {
    "run_id",
    "first_seen_run",
    "published_at",
    "git_sha",
    "dbt_scd_id",
    "dbt_updated_at",
    "dbt_valid_from",
}
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """Names of the columns, and the rows in any order."""

    columns: tuple[str, ...]
    rows: list[Row]


Tables = dict[str, Table]


def read_duckdb(published: Path) -> Tables:
    """All marts and snapshots of a readers' copy."""
    found: Tables = {}
    with duckdb.connect(str(published), read_only=True) as connection:
        names = connection.execute(
            "select table_schema, table_name from information_schema.tables "
            "where table_name like '%health\\_\\_%' escape '\\' order by all"
        ).fetchall()
        for schema, name in names:
            answer = connection.execute(f'select * from "{schema}"."{name}"')
            columns = tuple(column[0] for column in answer.description or [])
            found[name] = Table(columns, answer.fetchall())
    return found


def differences(left: Tables, right: Tables) -> dict[str, list[str]]:
    """What is not equal, by table; empty when everything is.

    Args:
        left, right: what readers have on the two engines.
    """
    left, right = _with_places(left), _with_places(right)
    found = {name: ["only on one side"] for name in left.keys() ^ right.keys()}
    for name in sorted(left.keys() & right.keys()):
        told = _different_rows(left[name], right[name])
        if told:
            found[name] = told
    return found


def _different_rows(left: Table, right: Table) -> list[str]:
    """A few words about the first rows that differ."""
    if left.columns != right.columns:
        return [f"columns {left.columns} and {right.columns}"]
    if len(left.rows) != len(right.rows):
        told = [f"{len(left.rows)} and {len(right.rows)} rows"]
        one, other = ({_sort_key(row) for row in table.rows} for table in (left, right))
        return told + [str(key) for key in sorted(one ^ other)[:4]]
    told = []
    for one, other in zip(*(sorted(table.rows, key=_sort_key) for table in (left, right)),
                          strict=True):  # fmt: skip
        for column, a, b in zip(left.columns, one, other, strict=True):
            if not equal(a, b):
                told.append(f"{column}: {a!r} and {b!r} in {one}")
        if len(told) > 3:
            break
    return told[:4]


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same; numbers to 1e-9, relative or absolute."""
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(left == right) and type(left) is type(right)


def _sort_key(row: Row) -> tuple[str, ...]:
    """Brings equal rows of two tables to the same place: numbers last, and rounded."""
    exact = [repr(value) for value in row if not isinstance(value, float)]
    return (*exact, *(f"{value:.6e}" for value in row if isinstance(value, float)))


def _with_places(tables: Mapping[str, Table]) -> Tables:
    """Columns of a run left out, and ids of publications as their places in time."""
    published = tables["fct_health__publications"]
    at, named = (published.columns.index(name) for name in ("published_at", "publication_id"))
    ordered = sorted(published.rows, key=lambda row: row[at])
    places = {row[named]: f"publication {number}" for number, row in enumerate(ordered, start=1)}
    return {name: _plain(table, places) for name, table in tables.items()}


def _plain(table: Table, places: Mapping[str, str]) -> Table:
    """One table with plain values; `dbt_valid_to` says only whether a row is the current one."""
    kept = [place for place, name in enumerate(table.columns) if name not in OF_A_RUN]
    columns = tuple(table.columns[place] for place in kept)
    return Table(
        columns,
        [
            tuple(
                _value(name, row[place], places) for name, place in zip(columns, kept, strict=True)
            )
            for row in table.rows
        ],
    )


def _value(column: str, value: Any, places: Mapping[str, str]) -> Any:
    """A value as the other engines' drivers would give it."""
    if column == "dbt_valid_to":
        return value is not None
    if column == "publication_id":
        return places.get(value, value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.replace(tzinfo=None)
    return value


def row_counts(tables: Mapping[str, Table]) -> dict[str, int]:
    """Rows by table, for messages."""
    return {name: len(table.rows) for name, table in tables.items()}


def expect_rows(tables: Mapping[str, Table], names: Sequence[str]) -> None:
    """Refuse a comparison that compares nothing: these tables must hold rows."""
    empty = [name for name in names if not tables[name].rows]
    assert not empty, empty
