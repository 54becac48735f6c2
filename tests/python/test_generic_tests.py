"""Each generic test of tests/generic finds what it should (red) and nothing else (green).

A small dbt project in a scratch folder takes our generic tests and macros and runs them over
models of a few rows, on DuckDB in memory. A red case names the rows that must be reported.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[2]
GENERIC_TESTS = sorted(path.stem for path in (PROJECT_DIR / "tests" / "generic").glob("*.sql"))


@dataclass(frozen=True)
class Case:
    """One use of a generic test.

    name: what the case is about; test: the generic test; column: tested column, empty for a test
    of the whole model; rows: SQL of the model; arguments: of the test; bad_rows: rows that the
    test must report, 0 for a green case.
    """

    name: str
    test: str
    rows: str
    bad_rows: int
    column: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


NUMBERS = "select cast(unnest([{}]) as double) as score"
PAIRS = "select unnest(['A1', 'A1', 'A2']) as account_id, unnest([{}]) as as_of_date"
# two equal rows of a date; the run of BUILD_DATES with its lookback of 3 days wrote 2026-06-27 on
WRITTEN = "select 'A1' as account_id, cast({} as date) as as_of_date, 11 as score from range(2)"
BUILD_DATES = "select cast('2026-07-01' as date) as as_of_date"
PERIODS = "select unnest([{}]) as starts_on, unnest([{}]) as ends_on"

CASES = (
    Case("range_green", "in_range", NUMBERS.format("0, 0.5, 10, null"), 0, "score",
         {"minimum": 0, "maximum": 10}),
    Case("range_red_both_ends", "in_range", NUMBERS.format("-0.001, 0, 10, 10.001"), 2, "score",
         {"minimum": 0, "maximum": 10}),
    Case("range_red_not_finite", "in_range", NUMBERS.format("'nan', 'inf', '-inf', '5'"), 3,
         "score", {"minimum": 0, "maximum": 10}),
    Case("range_red_infinite_without_that_end", "in_range", NUMBERS.format("'inf', '5'"), 1,
         "score", {"minimum": 0}),
    Case("range_minimum_alone_green", "in_range", NUMBERS.format("0, 1e300"), 0, "score",
         {"minimum": 0}),
    Case("range_maximum_alone_green", "in_range", NUMBERS.format("-1e300, 10"), 0, "score",
         {"maximum": 10}),
    Case("range_maximum_alone_red", "in_range", NUMBERS.format("-1e300, 11"), 1, "score",
         {"maximum": 10}),
    Case("range_at_zero_maximum_red", "in_range", NUMBERS.format("0, 1"), 1, "score",
         {"maximum": 0}),
    Case("unique_green", "unique_combination", PAIRS.format("1, 2, 1"), 0,
         arguments={"columns": ["account_id", "as_of_date"]}),
    Case("unique_red", "unique_combination", PAIRS.format("1, 1, 1"), 1,
         arguments={"columns": ["account_id", "as_of_date"]}),
    Case("unique_red_with_nulls", "unique_combination", PAIRS.format("null, null, 1"), 1,
         arguments={"columns": ["account_id", "as_of_date"]}),
    Case("unique_red_of_this_run", "unique_combination", WRITTEN.format("'2026-06-27'"), 1,
         arguments={"columns": ["account_id", "as_of_date"], "written_on": "as_of_date"}),
    Case("unique_green_of_earlier_runs", "unique_combination", WRITTEN.format("'2026-06-26'"), 0,
         arguments={"columns": ["account_id", "as_of_date"], "written_on": "as_of_date"}),
    Case("range_red_of_this_run", "in_range", WRITTEN.format("'2026-06-27'"), 2, "score",
         {"maximum": 10, "written_on": "as_of_date"}),
    Case("range_green_of_earlier_runs", "in_range", WRITTEN.format("'2026-06-26'"), 0, "score",
         {"maximum": 10, "written_on": "as_of_date"}),
    Case("holds_red_of_this_run", "expression_holds", WRITTEN.format("'2026-06-27'"), 2,
         arguments={"expression": "score < 1 or score < 2", "written_on": "as_of_date"}),
    Case("holds_green_of_earlier_runs", "expression_holds", WRITTEN.format("'2026-06-26'"), 0,
         arguments={"expression": "score < 1 or score < 2", "written_on": "as_of_date"}),
    Case("holds_green", "expression_holds", PERIODS.format("1, 2", "1, 3"), 0,
         arguments={"expression": "ends_on >= starts_on"}),
    Case("holds_red", "expression_holds", PERIODS.format("1, 2", "1, 1"), 1,
         arguments={"expression": "ends_on >= starts_on"}),
    Case("holds_red_where_undecided", "expression_holds", PERIODS.format("1, 2", "1, null"), 1,
         arguments={"expression": "ends_on >= starts_on"}),
    Case("holds_red_with_or", "expression_holds", PERIODS.format("1, 2", "0, 9"), 1,
         arguments={"expression": "starts_on > 5 or ends_on = 9"}),
)  # fmt: skip

REFUSED: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("in_range", "score", {}, "give `minimum`, `maximum` or both"),
    ("unique_combination", "", {"columns": "account_id"}, "list of two or more columns"),
    ("unique_combination", "", {"columns": ["account_id"]}, "list of two or more columns"),
    ("unique_combination", "", {"columns": ["a", "b"], "written_on": "c"}, "one of the `columns`"),
    ("expression_holds", "", {"expression": " "}, "takes SQL of a condition"),
)


def make_project(folder: Path, cases: tuple[Case, ...]) -> Path:
    """A dbt project in the folder with one model and one test per case, named like the case."""
    shutil.copytree(PROJECT_DIR / "tests" / "generic", folder / "tests" / "generic")
    shutil.copytree(PROJECT_DIR / "macros" / "portability", folder / "macros")
    for macro in ("history/is_of_this_run", "guards/integer_var"):
        shutil.copy(PROJECT_DIR / "macros" / f"{macro}.sql", folder / "macros")
    models = folder / "models"
    models.mkdir()
    (models / "int_health__build_dates.sql").write_text(BUILD_DATES, encoding="utf-8")
    entries = []
    for case in cases:
        (models / f"{case.name}.sql").write_text(case.rows, encoding="utf-8")
        test = {case.test: {"name": f"test_{case.name}", "arguments": dict(case.arguments)}}
        entry: dict[str, Any] = {"name": case.name}
        if case.column:
            entry["columns"] = [{"name": case.column, "data_tests": [test]}]
        else:
            entry["data_tests"] = [test]
        entries.append(entry)
    # JSON is YAML
    write_json(models / "models.yml", {"models": entries})
    write_json(
        folder / "dbt_project.yml",
        {
            "name": "customer_health",
            "version": "1.0.0",
            "profile": "generic_tests",
            "flags": {"send_anonymous_usage_stats": False},
            "vars": {"customer_health__lookback_days": 3},
        },
    )
    output = {"type": "duckdb", "path": ":memory:", "threads": 1}
    write_json(
        folder / "profiles.yml", {"generic_tests": {"target": "dev", "outputs": {"dev": output}}}
    )
    return folder


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a property file."""
    path.write_text(json.dumps(content), encoding="utf-8")


def invoke(folder: Path, command: str) -> Any:
    """The dbtRunnerResult of one dbt command in the project of the folder."""
    from dbt.cli.main import dbtRunner

    return dbtRunner().invoke(
        [
            command, "--quiet", "--project-dir", str(folder), "--profiles-dir", str(folder),
            "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"),
        ]
    )  # fmt: skip


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Rows that each case's test reported, from one build of all cases."""
    folder = make_project(tmp_path_factory.mktemp("generic"), CASES)
    result = invoke(folder, "build")
    assert result.exception is None, result.exception
    return {
        entry.node.name.removeprefix("test_"): entry.failures
        for entry in result.result
        if entry.node.resource_type == "test"
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reports_exactly_the_bad_rows(case: Case, reported: dict[str, int]) -> None:
    assert reported[case.name] == case.bad_rows


@pytest.mark.parametrize("name", GENERIC_TESTS)
def test_every_generic_test_has_a_red_and_a_green_case(name: str) -> None:
    found = {case.bad_rows > 0 for case in CASES if case.test == name}
    assert found == {True, False}


@pytest.mark.parametrize(("test", "column", "arguments", "message"), REFUSED)
def test_bad_arguments_are_refused(
    test: str, column: str, arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    case = Case("refused", test, "select 1 as score, 'A1' as account_id", 0, column, arguments)
    result = invoke(make_project(tmp_path, (case,)), "parse")
    assert not result.success
    assert f"{test}: " in str(result.exception)
    assert message in str(result.exception)
