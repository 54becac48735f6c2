"""What the landing gate looks at: raw tables read safely, and what is counted of them.

`expectations/raw_columns.yml` says how the columns of a raw table are read. From it come the view
that the suite of the table judges, and statistics of the table: one pushed-down aggregate, one more
for its categories. The statistics make three small relations that further suites judge:

- landing_values: how many values of a column are written in a form that cannot be read safely
- landing_days: rows of the newest days, and what is usual on that day of the week
- landing_drift: shares and means of now and of the last accepted run

The statistics of an accepted run are its profile, which the next run compares with.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from customer_health.gate_engines import Engine, quoted, text_literal, trimmed
from customer_health.gate_report import SAMPLE_KEYS, count, measured, percent

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from customer_health.gates import Seen

ADDED_COLUMNS = ("row_key", "age_days")
COLUMN_KINDS = {
    "id": "varchar",
    "category": "varchar",
    "text": "varchar",
    "instant": "timestamp",
    "number": "double precision",
}
WEEKS = 4  # before a day, of whose same weekdays the median is taken
# Tables that grow with use are judged by the rows of these days: what is older was judged and
# reduced by earlier runs, and would be read anew every day. A week more than the medians need.
JUDGED_DAYS = 7 * WEEKS + 8
_CATEGORIES = 20  # values of a column that a profile keeps
_LONGEST_CATEGORY = 60  # characters; what is longer, or looks like an address, is no category
_LAST_HOUR = 23  # a newest row in it makes the day as good as whole
_LOADED_AT = "loaded_at"  # every raw table may have it, besides its columns
_NO_NOISE = 1e9  # standard errors of a change where values never varied

_VALUES = {
    "row_key": "varchar",
    "table_name": "varchar",
    "column_name": "varchar",
    "form": "varchar",
    "bad_count": "bigint",
    "sample_keys": "varchar",
    "finding": "varchar",
}
_DAYS = {
    "row_key": "varchar",
    "table_name": "varchar",
    "column_name": "varchar",
    "row_count": "double precision",
    "usual_count": "double precision",
    "is_accepted": "boolean",
    "finding": "varchar",
}
_DRIFT = {
    "row_key": "varchar",
    "measure": "varchar",
    "change_share": "double precision",
    "standard_errors": "double precision",
    "row_count": "double precision",
    "finding": "varchar",
}


@dataclass(frozen=True)
class Form:
    """A form in which values of a column cannot be read safely."""

    column: str
    name: str  # no_offset, formatted or above_scale
    condition: str  # SQL
    example: str  # SQL of text
    words: str  # `{bad} … such as {example}`


@dataclass(frozen=True)
class Reading:
    """How a raw table is read: SQL over its relation.

    Attributes:
        relation: the raw table, or its rows of the judged days.
        since: first judged day; None where all rows are judged.
        row_key: what names a row.
        typed: SQL of each column of the view, by lower-case name.
        kinds: id, category, text, instant or number, of the columns of the input contract.
        present: columns of the input contract that the table has.
        extra: columns that it has besides.
        newest: SQL of the instant that shows how fresh the table is.
        forms: forms that are counted.
    """

    relation: str
    since: date | None
    row_key: str
    typed: dict[str, str]
    kinds: dict[str, str]
    present: list[str]
    extra: list[str]
    newest: str | None
    forms: list[Form]


@dataclass(frozen=True)
class Landed:
    """What is known about the raw tables besides their suites.

    Attributes:
        profile: statistics to compare with next time.
        days: rows of the judged days by table, for those that a person accepts.
        since: first judged day of the tables that are not judged as a whole.
    """

    profile: dict[str, Any]
    days: dict[str, dict[str, int]]
    since: dict[str, date] = field(default_factory=dict)

    def comparable(self, counts: Mapping[str, int], before: Mapping[str, Any]) -> dict[str, int]:
        """Row counts of the last accepted run that were taken of as many days.

        Args:
            counts: rows by table.
            before: profile of that run.
        """
        last, now = before.get("tables", {}), self.profile["tables"]
        if not last:
            return dict(counts)
        return {
            table: rows
            for table, rows in counts.items()
            if table not in now
            or last.get(table, {}).get("judged_days") == now[table].get("judged_days")
        }

    @property
    def row_counts(self) -> dict[str, int]:
        """Rows of the raw tables that are there."""
        return {table: int(found["rows"]) for table, found in self.profile["tables"].items()}


def read_raw_table(
    engine: Engine,
    table: str,
    spec: Mapping[str, Any],
    seen: Seen,
    *,
    as_of_date: date,
    naive_timezone: str | None,
) -> Reading:
    """Say in SQL how a raw table is read (raw_columns.yml).

    Args:
        engine: database of the table.
        table: its name in the input contract.
        spec: its entry in raw_columns.yml.
        seen: columns of the raw tables.
        as_of_date: the date that is scored.
        naive_timezone: zone of instants without offset; None when there is none.
    """
    types, names = seen.columns[table], seen.names[table]
    written: dict[str, str] = spec["columns"]
    kinds = {column: kind.removeprefix("optional ") for column, kind in written.items()}
    typed: dict[str, str] = {}
    forms: list[Form] = []
    for column, type_name in types.items():
        source = quoted(names[column])
        kind = kinds.get(column)
        if kind is None:
            if column not in ADDED_COLUMNS:
                typed[column] = source
        elif kind == "instant":
            typed[column] = engine.instant(source, type_name)
            naive = engine.is_naive_instant(source, type_name)
            if naive is not None and naive_timezone is None:
                words = "{bad} of {rows} have no offset, such as {example}"
                forms.append(Form(column, "no_offset", naive, trimmed(source), words))
        elif kind == "number":
            typed[column] = engine.number(source, type_name)
            formatted = engine.is_formatted_number(source, type_name)
            if formatted is not None:
                words = "{bad} of {rows} are no plain numbers, such as {example}"
                forms.append(Form(column, "formatted", formatted, trimmed(source), words))
        else:
            typed[column] = engine.identifier(source, type_name)
    present = [column for column in kinds if column in types]
    for column, kind in written.items():
        if column not in types and kind.startswith("optional "):
            typed[column] = f"cast(null as {COLUMN_KINDS[kinds[column]]})"
    forms += _scale_forms(spec.get("scale"), typed, types)
    keys = [f"cast({typed[column]} as varchar)" for column in spec["row_key"] if column in typed]
    row_key = f"nullif(concat_ws('|', {', '.join(keys)}), '')" if keys else "cast(null as varchar)"
    since = _judged_since(engine, spec, types, as_of_date)
    relation = seen.relation(table)
    if since is not None:
        # The column as it is, so that the engine passes over other days. It does not pass over
        # files without any null, so they are looked for once and not by each rule.
        newest = quoted(names[spec["newest"]])
        of_days = f"select * from {relation} where {newest} >= {_midnight(since)}"
        of_none = f"select * from {relation} where {newest} is null"
        has_none = seen.engine.run(seen.connection, f"{of_none} limit 1").fetchall()
        both = f"{of_days} union all {of_none}" if has_none else of_days
        relation = f"({both}) as judged_days"
    return Reading(
        relation=relation,
        since=since,
        row_key=f"coalesce({row_key}, '(no key)')",
        typed=typed,
        kinds=kinds,
        present=present,
        extra=sorted(set(types) - set(kinds) - {_LOADED_AT}),
        newest=typed.get(spec.get("newest", "")),
        forms=forms,
    )


def _judged_since(
    engine: Engine, spec: Mapping[str, Any], types: Mapping[str, str], as_of_date: date
) -> date | None:
    """The first judged day of a table that grows with use; None where all of it is judged.

    Instants in text have to be read to know their day, so all of them are.
    """
    if not spec.get("daily") or spec["newest"] not in types:
        return None
    if engine.type_class(types[spec["newest"]]) not in {"zoned", "naive", "date"}:
        return None
    return as_of_date - timedelta(days=JUDGED_DAYS)


def _scale_forms(
    scale: Mapping[str, Any] | None, typed: Mapping[str, str], types: Mapping[str, str]
) -> list[Form]:
    """The form `above_scale` of a table with answers on a scale."""
    if scale is None or not {scale["score"], scale["largest"]} <= set(types):
        return []
    score, largest = typed[scale["score"]], typed[scale["largest"]]
    # Text that is no number reads as NaN, which is above everything: other rules speak of it.
    condition = f"{score} > {largest} and {score} < 1e300"
    for column, value in scale.get("where", {}).items():
        condition += f" and lower(trim({typed[column]})) = {text_literal(value)}"
    example = f"cast({score} as varchar) || ' on a scale to ' || cast({largest} as varchar)"
    words = f"{{bad}} of {{rows}} are above {scale['largest']}, such as {{example}}"
    return [Form(scale["score"], "above_scale", f"({condition})", example, words)]


def view_query(engine: Engine, reading: Reading, as_of_date: date) -> str:
    """The query behind the view that the suite of the table judges."""
    selected = [f"{reading.row_key} as row_key"]
    if reading.newest is not None:
        selected.append(f"{_age_days(engine, reading.newest, as_of_date)} as age_days")
    selected += [f"{sql} as {quoted(column)}" for column, sql in reading.typed.items()]
    return f"select {', '.join(selected)} from {reading.relation}"


def _midnight(day: date) -> str:
    return f"timestamp '{day.isoformat()} 00:00:00'"


def _age_days(engine: Engine, newest: str, as_of_date: date) -> str:
    midnight = _midnight(as_of_date)
    seconds = f"{engine.epoch(midnight)} - {engine.epoch(newest)}"
    return (
        f"case when {engine.is_finite(newest)} and {newest} < {midnight} "
        f"then cast({seconds} as double precision) / 86400.0 end"
    )


# -- statistics ----------------------------------------------------------------------------------
def look_at_tables(
    engine: Engine,
    connection: Connection,
    readings: Mapping[str, Reading],
    specs: Mapping[str, Mapping[str, Any]],
    *,
    as_of_date: date,
    limits: Mapping[str, Any],
    before: Mapping[str, Any],
) -> Landed:
    """Count what there is to count, and create the relations that further suites judge.

    Args:
        engine: the judged database.
        connection: its session.
        readings: the raw tables that are there.
        specs: raw_columns.yml.
        as_of_date: what happened before it counts for the volume of days.
        limits: `landing` of thresholds.yml.
        before: profile of the last accepted run; empty when there is none.
    """
    largest = float(limits["largest_usable_number"])
    tables: dict[str, Any] = {}
    values: list[tuple[Any, ...]] = []
    days: list[tuple[Any, ...]] = []
    rows_of_days: dict[str, dict[str, int]] = {}
    accepted = before.get("accepted_days", {})
    for table, reading in readings.items():
        found, newest = _statistics(engine, connection, table, reading, largest, as_of_date, values)
        tables[table] = found
        values += _new_columns(table, reading, before.get("tables", {}).get(table))
        if specs[table].get("daily") and newest is not None:
            of_table = _volumes(
                engine, connection, table, specs[table]["newest"], reading, newest, as_of_date
            )
            known = accepted.get(table, {})
            days += [
                (*row, row[0] in known and row[3] >= known[row[0]], finding)
                for row, finding in of_table
            ]
            rows_of_days[table] = {row[0]: int(row[3]) for row, _ in of_table}
    engine.keep_rows(connection, "gate__landing_values", _VALUES, values)
    engine.keep_rows(connection, "gate__landing_days", _DAYS, days)
    drift = drift_rows(before.get("tables", {}), tables)
    engine.keep_rows(connection, "gate__landing_drift", _DRIFT, drift)
    since = {table: each.since for table, each in readings.items() if each.since is not None}
    return Landed({"tables": tables, "accepted_days": {}}, rows_of_days, since)


def _statistics(
    engine: Engine,
    connection: Connection,
    table: str,
    reading: Reading,
    largest: float,
    as_of_date: date,
    values: list[tuple[Any, ...]],
) -> tuple[dict[str, Any], datetime | None]:
    """Statistics of a table and its newest instant; rows of landing_values go to `values`."""
    asked: list[str] = ["count(*)", _newest_sql(engine, reading, as_of_date)]
    for column in reading.present:
        sql = reading.typed[column]
        asked.append(f"count({sql})")
        if reading.kinds[column] == "number":
            usable = f"case when abs({sql}) <= {largest!r} then {sql} end"
            asked += [f"count({usable})", f"avg({usable})", f"stddev_samp({usable})"]
    for form in reading.forms:
        asked.append(f"sum(case when {form.condition} then 1 else 0 end)")
        asked.append(f"min(case when {form.condition} then {form.example} end)")
    answers = iter(
        engine.run(connection, f"select {', '.join(asked)} from {reading.relation}").fetchall()[0]
    )
    row_count, newest = int(next(answers)), next(answers)
    columns: dict[str, dict[str, Any]] = {}
    for column in reading.present:
        known = int(next(answers))
        columns[column] = {"known": known}
        if reading.kinds[column] == "number":
            usable_count, mean, spread = int(next(answers)), next(answers), next(answers)
            if mean is not None:
                columns[column] |= {
                    "usable": usable_count,
                    "mean": float(mean),
                    "spread": float(spread or 0.0),
                }
    for form in reading.forms:
        bad, example = int(next(answers) or 0), next(answers)
        words = form.words.format(
            bad=f"{bad:,}",
            rows=count(row_count, "row"),
            example=re.sub(r"(?<=\d)\.0\b", "", str(example))[:40],  # 9.0 is 9 elsewhere
        )
        keys = _sample_keys(engine, connection, reading, form) if bad else []
        place = f"{table}.{form.column}"
        values.append((place, table, form.column, form.name, bad, json.dumps(keys), words))
    for column, shares in _categories(engine, connection, reading).items():
        columns[column]["values"] = shares
    found = {"rows": row_count, "columns": columns, "extra": reading.extra}
    return found | ({"judged_days": JUDGED_DAYS} if reading.since else {}), newest


def _newest_sql(engine: Engine, reading: Reading, as_of_date: date) -> str:
    if reading.newest is None:
        return "cast(null as timestamp)"
    midnight = _midnight(as_of_date)
    is_before = f"{engine.is_finite(reading.newest)} and {reading.newest} < {midnight}"
    return f"max(case when {is_before} then {reading.newest} end)"


def _sample_keys(engine: Engine, connection: Connection, reading: Reading, form: Form) -> list[str]:
    rows = engine.run(
        connection,
        f"select {reading.row_key} as row_key from {reading.relation} where {form.condition} "
        f"order by 1 limit {SAMPLE_KEYS}",
    )
    return [str(row[0]) for row in rows]


def _categories(
    engine: Engine, connection: Connection, reading: Reading
) -> dict[str, dict[str, int]]:
    """Rows of the most frequent values of each category column."""
    columns = [name for name in reading.present if reading.kinds[name] == "category"]
    if not columns:
        return {}
    selected = ", ".join(f"{reading.typed[name]} as {quoted(name)}" for name in columns)
    named = ", ".join(quoted(name) for name in columns)
    sets = ", ".join(f"({quoted(name)})" for name in columns)
    rows = engine.run(
        connection,
        f"with selected as (select {selected} from {reading.relation}), "
        f"counted as (select grouping({named}) as set_number, coalesce({named}) as category, "
        f"count(*) as row_count from selected group by grouping sets ({sets})), "
        "ranked as (select set_number, category, row_count, row_number() over "
        "(partition by set_number order by row_count desc, category) as place from counted "
        "where category is not null) "
        f"select set_number, category, row_count from ranked where place <= {_CATEGORIES}",
    ).fetchall()
    found: dict[str, dict[str, int]] = {name: {} for name in columns}
    for set_number, category, row_count in rows:
        # grouping() has a bit for each column, the first highest, that is 0 where it is grouped by.
        bit = next(
            place
            for place in range(len(columns))
            if not int(set_number) >> (len(columns) - 1 - place) & 1
        )
        if len(category) <= _LONGEST_CATEGORY and "@" not in category:
            found[columns[bit]][str(category)] = int(row_count)
    return found


def _new_columns(
    table: str, reading: Reading, before: Mapping[str, Any] | None
) -> list[tuple[Any, ...]]:
    """A row of landing_values for each column that was not there at the last accepted run."""
    if before is None:
        return []
    return [
        (
            f"{table}.{column}",
            table,
            column,
            "new_column",
            1,
            "[]",
            "a new column, which the input contract does not know and nothing reads",
        )
        for column in reading.extra
        if column not in before.get("extra", [])
    ]


# -- days ----------------------------------------------------------------------------------------
def _volumes(
    engine: Engine,
    connection: Connection,
    table: str,
    column: str,
    reading: Reading,
    newest: datetime,
    as_of_date: date,
) -> list[tuple[tuple[Any, ...], str]]:
    """Rows of the newest day and of the one before, with the median of the same weekdays.

    The newest day may be loaded in part, so it is compared up to the time of its newest row. That
    there is no newer row at all is what the rule `fresh` judges.

    Returns:
        Rows of landing_days without the last two columns, each with its finding.
    """
    assert reading.newest is not None
    instant = reading.newest
    first = newest.date() - timedelta(days=7 * WEEKS + 1)
    clock = newest.time().isoformat(timespec="microseconds")
    rows = engine.run(
        connection,
        f"select cast({instant} as date) as day, count(*), "
        f"sum(case when {engine.is_until(instant, clock)} then 1 else 0 end) "
        f"from {reading.relation} where {instant} >= {_midnight(first)} "
        f"and {instant} < {_midnight(as_of_date)} group by 1",
    ).fetchall()
    whole = {str(row[0]): int(row[1]) for row in rows}
    in_part = {str(row[0]): int(row[2]) for row in rows}
    found: list[tuple[tuple[Any, ...], str]] = []
    for day, counts in ((newest.date(), in_part), (newest.date() - timedelta(days=1), whole)):
        weeks_before = [day - timedelta(days=7 * week) for week in range(1, WEEKS + 1)]
        usual = median(counts.get(str(one), 0) for one in weeks_before)
        row_count = counts.get(str(day), 0)
        is_cut = counts is in_part and 0 < newest.hour < _LAST_HOUR
        until = f" until {newest:%H:%M}" if is_cut else ""
        finding = (
            f"{day} has {count(row_count, 'row')}{until}, the {day:%A}s before it "
            f"{usual:,.0f} (median of {WEEKS})"
        )
        found.append(((str(day), table, column, float(row_count), float(usual)), finding))
    return found


# -- drift ---------------------------------------------------------------------------------------
def drift_rows(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of landing_drift: what changed between two profiles, and how surely.

    `standard_errors` is the change divided by the error that chance alone gives shares and means of
    so many rows; a change of a few of them says nothing.
    """
    rows: list[tuple[Any, ...]] = []
    for table, found in now.items():
        last = before.get(table)
        if not last or not found["rows"] or not last["rows"]:
            continue
        if last.get("judged_days") != found.get("judged_days"):
            continue
        counts = last["rows"], found["rows"]
        for column in sorted({*last["columns"], *found["columns"]}):
            old, new = last["columns"].get(column), found["columns"].get(column)
            if old is None:
                continue
            place = f"{table}.{column}"
            nulls = counts[0] - old["known"], counts[1] - (new["known"] if new else 0)
            rows.append(_share_drift(place, "null_share", "null", nulls, counts, is_gone=not new))
            if new is None:
                continue
            if "mean" in old and "mean" in new:
                rows.append(_mean_drift(place, old, new))
            known = old["known"], new["known"]
            # A value below the kept ones is taken for absent: less than 1 / _CATEGORIES off.
            names = sorted({*old.get("values", {}), *new.get("values", {})})
            for name in names if all(known) else []:
                one = old.get("values", {}).get(name, 0), new.get("values", {}).get(name, 0)
                rows.append(_share_drift(place, "category", name, one, known))
    return rows


def _share_drift(
    place: str,
    measure: str,
    name: str,
    parts: tuple[int, int],
    counts: tuple[int, int],
    *,
    is_gone: bool = False,
) -> tuple[Any, ...]:
    """A row of landing_drift for the share of a value, then and now."""
    then, now = parts[0] / counts[0], parts[1] / counts[1]
    pooled = sum(parts) / sum(counts)
    error = math.sqrt(pooled * (1 - pooled) * (1 / counts[0] + 1 / counts[1]))
    said = "is gone" if is_gone else f"{name!r} {percent(now)}" if name != "null" else percent(now)
    what = "null share " if measure == "null_share" and not is_gone else ""
    return (
        place,
        measure,
        abs(now - then),
        _in_errors(abs(now - then), error),
        float(min(counts)),
        f"{place} {what}{said}, {percent(then)}{' null' if is_gone else ''} last time",
    )


def _mean_drift(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row of landing_drift for a mean, then and now; the change is relative to then."""
    change = abs(new["mean"] - old["mean"])
    error = math.sqrt(
        old["spread"] ** 2 / max(old["usable"], 1) + new["spread"] ** 2 / max(new["usable"], 1)
    )
    base = abs(old["mean"])
    relative = change / base if base else (0.0 if not change else _NO_NOISE)
    return (
        place,
        "mean",
        min(relative, _NO_NOISE),
        _in_errors(change, error),
        float(min(old["usable"], new["usable"])),
        f"{place} mean {measured(new['mean'], None)}, {measured(old['mean'], None)} last time",
    )


def _in_errors(change: float, error: float) -> float:
    if not change:
        return 0.0
    return min(change / error, _NO_NOISE) if error else _NO_NOISE
