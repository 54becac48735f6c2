"""What a gate found, and how it is told to a person.

A gate can end in three ways. `passed` and `failed` are about the data. `could_not_check` means that
the data was not judged: the database is missing, damaged or locked, or Great Expectations raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

GateName = Literal["landing", "candidate"]
Status = Literal["passed", "failed", "could_not_check"]

SAMPLE_KEYS = 5


@dataclass(frozen=True)
class Check:
    """One rule on one table, and what it found.

    Attributes:
        rule: short name of the rule, such as `key_known`.
        table: the raw table or mart that it is about.
        column: the column that it is about; None where it is about the table.
        observed: what was found, in words.
        expected: what is allowed, in words.
        rows: rows (or tables, in `table_present`) that break the rule; None where none are counted.
        sample_keys: keys of some of those rows.
        passed: whether the rule holds; False also where it could not be checked.
        severity: `critical` fails the gate, `warning` and `info` do not.
        description: the rule as a sentence.
        could_check: False where Great Expectations raised, so that nothing is known.
        is_acceptable: whether --accept-volume would make a warning of it.
    """

    rule: str
    table: str
    column: str | None
    observed: str
    expected: str
    rows: int | None
    sample_keys: list[str]
    passed: bool
    severity: str
    description: str = ""
    could_check: bool = True
    is_acceptable: bool = False


@dataclass(frozen=True)
class GateReport:
    """What a gate found.

    Attributes:
        gate: `landing` or `candidate`.
        status: `passed`, `failed` (data bad) or `could_not_check` (data not judged).
        as_of_date: the date that the gate judged.
        database: name of the file that was checked, or of the database and its host.
        checks: every rule that ran, in the order of the suites.
        row_counts: rows per raw table, or of `scored_accounts`; kept by the caller, and handed in
            as `previous_counts` next time, once the run is accepted.
        profile: statistics of the raw tables; kept and handed in as `previous_profile` likewise.
        reason: one line that says why the data could not be checked; None otherwise.
        seconds: wall time, import of Great Expectations included.
    """

    gate: str
    status: Status
    as_of_date: date
    database: str
    checks: list[Check] = field(default_factory=list)
    row_counts: dict[str, int] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict, repr=False)
    reason: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> list[Check]:
        """Critical rules that the data breaks."""
        return [check for check in self._broken() if check.severity == "critical"]

    @property
    def warnings(self) -> list[Check]:
        """Rules that the data breaks without failing the gate."""
        return [check for check in self._broken() if check.severity != "critical"]

    @property
    def not_checked(self) -> list[Check]:
        """Rules that could not be checked."""
        return [check for check in self.checks if not check.could_check]

    def _broken(self) -> Iterable[Check]:
        return (check for check in self.checks if check.could_check and not check.passed)

    def summary(self) -> str:
        """Say the result in one line."""
        name = f"{self.gate} gate"
        if self.status == "could_not_check":
            return f"{name}: could not check {self.database}: {self.reason}"
        if self.status == "passed":
            more = f", {count(len(self.warnings), 'warning')}" if self.warnings else ""
            return f"{name}: passed, {count(len(self.checks), 'check')}{more}"
        first = self.failed[0]
        others = f" (and {len(self.failed) - 1} more)" if len(self.failed) > 1 else ""
        return (
            f"{name}: data bad, {place(first)} ({first.rule}): {first.observed}; "
            f"expected {first.expected}{others}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values, dates as ISO text; without the profile."""
        written = asdict(self)
        del written["profile"]
        return {
            **written,
            "as_of_date": self.as_of_date.isoformat(),
            "summary": self.summary(),
            "checks_run": len(self.checks) - len(self.not_checked),
            "checks_passed": sum(check.passed for check in self.checks),
        }

    def to_json(self) -> str:
        """Give the report as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"


def render(report: GateReport, console: Console, *, all_checks: bool = False) -> None:
    """Print what a person wants to know: what is wrong with it, then what was looked at.

    Args:
        report: result of `run_gate`.
        console: where to print.
        all_checks: list the rules that hold one by one too, not only counted per table.
    """
    listed = [check for check in report.checks if all_checks or not check.passed]
    if listed:
        table = Table(title=f"{report.gate} gate, as of {report.as_of_date}", title_justify="left")
        for heading in ("", "rule", "table and column", "observed", "expected"):
            table.add_column(heading, overflow="fold")
        table.add_column("rows", justify="right")
        table.add_column("sample keys", overflow="fold")
        for check in sorted(listed, key=lambda check: check.passed):
            table.add_row(
                _verdict(check),
                check.rule,
                escape(place(check)),
                escape(check.observed),
                escape(check.expected),
                "" if check.rows is None else f"{check.rows:,}",
                escape(", ".join(check.sample_keys)),
            )
        console.print(table)
    if report.checks and not all_checks:
        console.print(_overview(report))
    style = {"passed": "green", "failed": "bold red", "could_not_check": "bold yellow"}
    console.print(
        f"[{style[report.status]}]{escape(report.summary())}[/] ({report.seconds:.1f} s)",
        highlight=False,
        soft_wrap=True,
    )


def _verdict(check: Check) -> str:
    if not check.could_check:
        return "[yellow]not checked[/]"
    if check.passed:
        return "[green]ok[/]"
    return "[red]bad[/]" if check.severity == "critical" else f"[yellow]{check.severity}[/]"


def _overview(report: GateReport) -> Table:
    """One line a table: how many rules hold."""
    table = Table()
    for heading in ("table", "rules that hold", "rows"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for name in dict.fromkeys(check.table for check in report.checks):
        of_table = [check for check in report.checks if check.table == name]
        rows = report.row_counts.get(name)
        table.add_row(
            escape(name),
            f"{sum(check.passed for check in of_table)} of {len(of_table)}",
            "" if rows is None else f"{rows:,}",
        )
    return table


def place(check: Check) -> str:
    """`table`, or `table.column`."""
    return check.table if check.column is None else f"{check.table}.{check.column}"


# -- numbers in words ----------------------------------------------------------------------------


def measured(value: float, unit: str | None) -> str:
    """A value with its unit: rows, share, days or none."""
    if unit == "rows":
        return count(int(value), "row")
    if unit == "share":
        return percent(value)
    number = f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.6g}"
    return _days(value) if unit == "days" else number


def _days(value: float) -> str:
    return f"{value:.3g} day" if value == 1 else f"{value:.3g} days"


def percent(share: float) -> str:
    """`0.125` as `12.5%`."""
    text = f"{share * 100:.2f}".rstrip("0").rstrip(".")
    return f"{text}%"


def count(number: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
