"""Reading the validation results of Great Expectations: one `Check` per rule, table and column.

A rule that is a query of wrong rows (`unexpected_rows_expectation`) may say more about them:
`finding` is told as what was observed, and a row with `table_name` and `column_name` is a check of
its own, with `bad_count` rows and the keys in `sample_keys`. `meta.expected` says what is allowed,
with thresholds by name in braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from customer_health.errors import first_line
from customer_health.gate_landing import ADDED_COLUMNS
from customer_health.gate_report import SAMPLE_KEYS, Check, count, measured, percent

if TYPE_CHECKING:
    from customer_health.gates import Seen

_NOT_ABOUT_A_TABLE = "declared tables"


@dataclass(frozen=True)
class Known:
    """What reading the results takes besides them.

    Attributes:
        seen: the relations that are there.
        counts: row counts of the last accepted run.
        since: first judged day of the tables that are not judged as a whole.
        numbers: thresholds by name, for `meta.expected`.
        accepts_volume: whether less volume and drift were accepted by a person.
    """

    seen: Seen
    counts: Mapping[str, int] = field(default_factory=dict)
    since: Mapping[str, date] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    accepts_volume: bool = False


def rule_order(folder: Path) -> dict[str, int]:
    """Position of each expectation in its suite, by its id."""
    order: dict[str, int] = {}
    for path in (folder / "suites").glob("*.json"):
        suite = json.loads(path.read_text(encoding="utf-8"))
        order.update({item["id"]: place for place, item in enumerate(suite["expectations"])})
    return order


def unpack(
    found: Iterable[tuple[str, Iterable[Any]]],
    order: Mapping[str, int],
    known: Known,
) -> tuple[list[Check], dict[str, int]]:
    """Turn the results of all suites into checks, and the row counts that they saw."""
    checks: list[Check] = []
    row_counts: dict[str, int] = {}
    for asset, results in found:
        in_order = sorted(results, key=lambda result: order[result.expectation_config.id])
        missing: set[str] = set()
        for result in in_order:
            missing.update(_missing_columns(result))
        for result in in_order:
            config = result.expectation_config
            if _raised(result) is not None and missing & _columns_of(config):
                continue  # the rule that names the missing column says it already
            if config.meta["rule"] == "table_present" and not result.success:
                checks += _absent_tables(config, known)
                continue
            if config.meta["rule"] == "row_count" and _raised(result) is None:
                row_counts[asset] = int(result.result["observed_value"])
            checks += [_accepted(check, result, known) for check in _checks(asset, result, known)]
    return checks, row_counts


def _absent_tables(config: Any, known: Known) -> list[Check]:
    """One check for each declared table that is not there."""
    return [
        Check(
            rule=config.meta["rule"],
            table=table,
            column=None,
            observed=state
            + (f", {known.counts[table]:,} rows last time" if table in known.counts else ""),
            expected="a table with rows",
            rows=None,
            sample_keys=[],
            passed=False,
            severity=_severity(config),
            description=config.description or "",
        )
        for table, state in known.seen.missing.items()
    ]


def _checks(asset: str, result: Any, known: Known) -> list[Check]:
    """The checks of one result: mostly one, else one for each table and column that is wrong."""
    config = result.expectation_config
    error = _raised(result)
    details = result.result or {}
    if error is not None:
        observed = first_line(error.split("\nLINE ")[0].split("[SQL:")[0])
    elif config.meta["rule"] == "columns_present" and not result.success:
        observed = _columns_observed(asset, result, known.seen)
    else:
        observed = _observed(result)
        if config.meta["rule"] == "row_count" and asset in known.counts:
            observed += f", {known.counts[asset]:,} last time"
        if config.meta["rule"] == "row_count" and asset in known.since:
            observed += f" (of the days since {known.since[asset]})"
    rows = details.get("unexpected_count")
    if config.type == "unexpected_rows_expectation":
        rows = details.get("observed_value")
    # The relation of the declared tables is ours; what it is about are the tables themselves.
    table = _NOT_ABOUT_A_TABLE if config.meta["rule"] == "table_present" else asset
    check = Check(
        rule=config.meta["rule"],
        table=config.meta.get("table", table),
        column=_column_of(config),
        observed=observed,
        expected=_expected(config, known.numbers),
        rows=None if rows is None else int(rows),
        sample_keys=_sample_keys(details),
        passed=bool(result.success) and error is None,
        severity=_severity(config),
        description=config.description or "",
        could_check=error is None,
    )
    return _by_table(check, _unexpected_rows(details)) or [check]


def _by_table(check: Check, rows: Iterable[Mapping[str, Any]]) -> list[Check]:
    """A check for each table and column that the wrong rows name."""
    grouped: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("table_name") is not None:
            place = str(row["table_name"]), row.get("column_name")
            grouped.setdefault(place, []).append(row)
    found = []
    for (table, column), of_place in grouped.items():
        keys = [str(row["row_key"]) for row in of_place]
        if "sample_keys" in of_place[0]:
            keys = [key for row in of_place for key in json.loads(row["sample_keys"])]
        found.append(
            replace(
                check,
                table=table,
                column=column,
                observed=_findings(of_place),
                rows=sum(int(row.get("bad_count", 1)) for row in of_place),
                sample_keys=keys[:SAMPLE_KEYS],
            )
        )
    return found


def _accepted(check: Check, result: Any, known: Known) -> Check:
    """A check that a person accepts with --accept-volume; never that a table is empty."""
    config = result.expectation_config
    is_asked = config.meta.get("accepted_by") == "accept_volume"
    if check.passed or not check.could_check or not is_asked or check.severity != "critical":
        return check
    if check.rule == "row_count" and int(result.result["observed_value"]) == 0:
        return check
    if not known.accepts_volume:
        return replace(check, is_acceptable=True)
    return replace(
        check, severity="warning", observed=f"{check.observed}; accepted with --accept-volume"
    )


def _severity(config: Any) -> str:
    severity = config.severity
    return str(getattr(severity, "value", severity))


def _raised(result: Any) -> str | None:
    """Find what Great Expectations raised for this rule; None when it gave a verdict."""
    info = result.exception_info or {}
    for part in (info, *(value for value in info.values() if isinstance(value, dict))):
        if part.get("raised_exception"):
            return str(part.get("exception_message") or "Great Expectations raised")
    return None


def _missing_columns(result: Any) -> list[str]:
    """Columns that the rule `columns_present` found missing."""
    if result.expectation_config.meta["rule"] != "columns_present":
        return []
    details = (result.result or {}).get("details") or {}
    return list(details.get("mismatched", {}).get("missing", []))


def _columns_of(config: Any) -> set[str]:
    kwargs = config.kwargs
    named = {kwargs.get("column"), kwargs.get("column_A"), kwargs.get("column_B")}
    return {str(name) for name in (named | {config.meta.get("column")}) if name is not None}


def _column_of(config: Any) -> str | None:
    if config.meta["rule"] == "table_present":
        return None
    column = config.meta.get("column", config.kwargs.get("column"))
    return None if column is None else str(column)


def _columns_observed(asset: str, result: Any, seen: Seen) -> str:
    """Missing columns, each with the column that it may have become."""
    known = set(result.expectation_config.kwargs["column_set"]) | set(ADDED_COLUMNS)
    others = set(seen.columns[asset]) - known
    named = [f"{column}{near(column, others)}" for column in sorted(_missing_columns(result))]
    return f"missing: {', '.join(named)}"


def _observed(result: Any) -> str:
    details = result.result
    unit = result.expectation_config.meta.get("unit")
    if result.expectation_config.type == "unexpected_rows_expectation":
        bad = int(details["observed_value"])
        found = [row for row in _unexpected_rows(details) if row.get("finding")]
        if found:
            return _findings(found)
        return f"not for {count(bad, 'row')}" if bad else "for every row"
    if result.expectation_config.meta["rule"] == "columns_present":
        return "all there"
    if result.expectation_config.meta["rule"] == "table_present":
        return f"{count(int(details['element_count']), 'table')}, all there"
    if "unexpected_count" in details:
        # On an empty table the sums of Great Expectations are null.
        bad = int(details["unexpected_count"] or 0)
        total = int(details["element_count"] or 0) - int(details.get("missing_count") or 0)
        rows = count(total, "row")
        if bad:
            return f"not in {bad:,} of {rows} ({percent(bad / total)})"
        return f"in all of {rows}" if total else "there are no values"
    value = details.get("observed_value")
    return "nothing to go by" if value is None else measured(float(value), unit)


def _findings(rows: list[Mapping[str, Any]]) -> str:
    """What the first wrong rows say of themselves."""
    said = list(dict.fromkeys(str(row["finding"]) for row in rows))
    more = f" (and {len(said) - 2} more)" if len(said) > 2 else ""
    return "; ".join(said[:2]) + more


def _expected(config: Any, numbers: Mapping[str, float]) -> str:
    """Say what the rule allows, from the arguments with which it ran."""
    kwargs = config.kwargs
    if "expected" in config.meta:
        return re.sub(
            r"\{(\w+)\}",
            lambda name: _threshold(name[1], numbers[name[1]]),
            config.meta["expected"],
        )
    if config.type == "unexpected_rows_expectation":
        sentence = str(config.description).rstrip(".")
        return sentence[:1].lower() + sentence[1:]
    if "column_set" in kwargs:
        return f"the {count(len(kwargs['column_set']), 'required column')}"
    if config.meta["rule"] == "table_present":
        return "every declared table"
    unit = config.meta.get("unit")
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if "column_A" in kwargs:
        wanted = f"{kwargs['column_A']} not below {kwargs['column_B']}"
    elif "value_set" in kwargs:
        values = ", ".join(str(value) for value in kwargs["value_set"])
        wanted = f"not {values}" if "not_be_in_set" in config.type else values
    elif config.type == "expect_column_values_to_not_be_null":
        wanted = "known"
    elif low is not None and high is not None and not (unit and low == 0):
        wanted = f"{measured(low, unit)} to {measured(high, unit)}"
    elif low is not None and high is None:
        wanted = f"at least {measured(low, unit)}"
    else:
        wanted = f"at most {measured(high, unit)}"
    if "_values_" not in config.type:
        return wanted
    mostly = kwargs.get("mostly", 1)
    return f"{wanted} in {'every row' if mostly == 1 else f'at least {percent(mostly)} of rows'}"


def _threshold(name: str, value: float) -> str:
    return percent(value) if name.endswith("_share") else measured(float(value), None)


def _unexpected_rows(details: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Wrong rows that the rule's own query returned."""
    return list((details.get("details") or {}).get("unexpected_rows") or [])


def _sample_keys(details: Mapping[str, Any]) -> list[str]:
    """Keys of some rows that break the rule."""
    rows = details.get("partial_unexpected_index_list") or _unexpected_rows(details)
    return list(dict.fromkeys(str(row["row_key"]) for row in rows))[:SAMPLE_KEYS]


def near(name: str, known: Iterable[str]) -> str:
    """` (nearest: …)` for a name that is not known, or nothing."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (nearest: {found[0]})" if found else ""
