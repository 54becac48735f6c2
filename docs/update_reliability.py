"""Writes the table of docs/reliability.md (`--check` only compares it).

The faults stand in tests/faults/catalogue.csv. Which test proves each, and what the user gets to
see, is taken from the `fault` marks of the tests, as pytest collects them. A test whose mark names
a text fails unless it finds that text in real output, so the table cannot say what is not said.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[1]
CATALOGUE = PROJECT_DIR / "tests" / "faults" / "catalogue.csv"
DOCUMENT = PROJECT_DIR / "docs" / "reliability.md"


@dataclass
class Fault:
    """A row of the catalogue, and what the marks say about it."""

    number: int
    fault: str
    result: str
    no_test_because: str
    says: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)


class Marks:
    """A pytest plugin that keeps the `fault` marks of what was collected."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str | None, str]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Called by pytest when all tests are known."""
        for item in session.items:
            name = f"{item.path.name}::{getattr(item, 'originalname', item.name)}"
            for mark in item.iter_markers("fault"):
                self.found.append((mark.args[0], mark.kwargs.get("says"), name))


def collected_marks() -> list[tuple[int, str | None, str]]:
    """Number, text and test of every `fault` mark.

    Raises:
        SystemExit: when a test file cannot be collected.
    """
    marks = Marks()
    output = io.StringIO()
    folders = [str(PROJECT_DIR / "tests" / name) for name in ("faults", "python")]
    options = ["--collect-only", "-qq", "-n", "0", "-p", "no:cacheprovider"]
    with contextlib.redirect_stdout(output):
        code = pytest.main([*options, f"--rootdir={PROJECT_DIR}", *folders], plugins=[marks])
    if code != pytest.ExitCode.OK:
        raise SystemExit(f"the tests cannot be collected:\n{output.getvalue()}")
    return marks.found


def faults() -> list[Fault]:
    """The catalogue with the tests of each fault.

    Raises:
        SystemExit: when a mark has an unknown number, or a fault neither a test nor a reason.
    """
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        rows = [
            Fault(int(row["number"]), row["fault"], row["result"], row["no_test_because"])
            for row in csv.DictReader(file)
        ]
    known = {row.number: row for row in rows}
    problems = []
    for number, says, test in collected_marks():
        if number not in known:
            problems.append(f"{test}: there is no fault {number} in {CATALOGUE.name}")
            continue
        row = known[number]
        if says is not None and says not in row.says:
            row.says.append(says)
        if test not in row.tests:
            row.tests.append(test)
    for row in rows:
        if bool(row.tests) == bool(row.no_test_because):
            what = "a test and a reason to have none" if row.tests else "no test and no reason"
            problems.append(f"fault {row.number} ({row.fault}) has {what}")
    if problems:
        raise SystemExit("\n".join(problems))
    return rows


def table() -> str:
    """The table of docs/reliability.md."""
    lines = [
        "| # | fault | result | what the user sees | proved by |",
        "|---|---|---|---|---|",
    ]
    for row in faults():
        says = "<br>".join(code(text) for text in row.says)
        tests = "<br>".join(code(name) for name in row.tests) or row.no_test_because
        lines.append(f"| {row.number} | {row.fault} | {row.result} | {says} | {tests} |")
    return "\n".join(lines)


def code(text: str) -> str:
    """A text as code within a cell of a table."""
    ticks = "``" if "`" in text else "`"
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}".replace("|", "\\|")


def main() -> None:
    """Write the table into the document, or with --check compare it."""
    before = DOCUMENT.read_text(encoding="utf-8")
    after = re.sub(
        r"(<!-- faults:begin .*? -->\n).*?(<!-- faults:end -->)",
        lambda match: f"{match[1]}{table()}\n{match[2]}",
        before,
        flags=re.DOTALL,
    )
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(after, encoding="utf-8")
    elif after != before:
        raise SystemExit(
            f"docs/{DOCUMENT.name} is not what the tests say: run python docs/{Path(__file__).name}"
        )


if __name__ == "__main__":
    main()
