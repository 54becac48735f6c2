"""The policy checks: the shipped seeds are good, and every fault is named where it is."""

from __future__ import annotations

import csv
import io
import os
import random
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customer_health.errors import HealthError
from customer_health.policy import (
    SEEDS,
    PolicyProblem,
    changed_versions,
    check_policy,
    find_known_metrics,
    find_seed_files,
    lint_policy,
    new_version,
    policy_hashes,
)

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "seeds"
TODAY = date(2026, 6, 30)
Table = list[dict[str, str]]


class Seeds:
    """A copy of the shipped seeds that a test may break."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in SEEDS:
            shutil.copy(SHIPPED / f"{name}.csv", folder)

    @property
    def files(self) -> dict[str, Path]:
        return {name: self.folder / f"{name}.csv" for name in SEEDS}

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def rows(self, name: str) -> Table:
        with self.path(name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def write(self, name: str, rows: Table) -> int:
        out = io.StringIO(newline="")
        header = [column.name for column in SEEDS[name].columns]
        writer = csv.DictWriter(out, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.path(name).write_text(out.getvalue(), encoding="utf-8")
        return len(rows) + 1

    def change(self, name: str, where: dict[str, str], **cells: str) -> int:
        """Set cells of the rows that match; returns the line of the first of them."""
        rows = self.rows(name)
        hits = [n for n, row in enumerate(rows) if where.items() <= row.items()]
        line = self.line_of(name, rows, where)
        for hit in hits:
            rows[hit].update(cells)
        self.write(name, rows)
        return line

    def delete(self, name: str, **where: str) -> int:
        """Delete the rows that match; returns the line on which the first of them stood."""
        rows = self.rows(name)
        kept = [row for row in rows if not where.items() <= row.items()]
        assert len(kept) < len(rows)
        self.write(name, kept)
        return self.line_of(name, rows, where)

    @staticmethod
    def line_of(name: str, rows: Table, where: dict[str, str]) -> int:
        hits = [n + 2 for n, row in enumerate(rows) if where.items() <= row.items()]
        assert hits, f"no row of {name} matches {where}"
        return hits[0]

    def find(self, name: str, **where: str) -> int:
        """The line of the first row that matches."""
        return self.line_of(name, self.rows(name), where)

    def add(self, name: str, **cells: str) -> int:
        rows = [*self.rows(name), {column.name: "" for column in SEEDS[name].columns} | cells]
        self.write(name, rows)
        return len(rows) + 1

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.path(name).read_text(encoding="utf-8")
        assert old in text
        self.path(name).write_text(text.replace(old, new, 1), encoding="utf-8")

    def known(self) -> dict[str, str]:
        return {row["metric_key"]: "a signal" for row in self.rows("metrics")}

    def problems(self, today: date = TODAY) -> list[PolicyProblem]:
        known = {key: "a signal" for key in _shipped_metrics()}
        return check_policy(self.files, known_metrics=known, today=today)


def _shipped_metrics() -> list[str]:
    with (SHIPPED / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [row["metric_key"] for row in csv.DictReader(file)]


@pytest.fixture
def seeds(tmp_path: Path) -> Seeds:
    folder = tmp_path / "seeds"
    folder.mkdir()
    return Seeds(folder)


# ---- green --------------------------------------------------------------------------------------


def test_shipped_seeds_are_good() -> None:
    found = check_policy(find_seed_files(ROOT), known_metrics=find_known_metrics(ROOT), today=TODAY)
    assert [str(problem) for problem in found] == []


def test_shipped_seeds_deserve_no_second_look() -> None:
    assert lint_policy(find_seed_files(ROOT), today=TODAY) == []


def test_shipped_seeds_have_the_columns_that_dbt_is_told(seeds: Seeds) -> None:
    declared = yaml.safe_load((SHIPPED / "_seeds.yml").read_text(encoding="utf-8"))["seeds"]
    assert [seed["name"] for seed in declared] == list(SEEDS)
    types = {"number": "double precision", "integer": "integer", "date": "date"}
    for seed in declared:
        columns = SEEDS[seed["name"]].columns
        header = seeds.path(seed["name"]).read_text(encoding="utf-8").splitlines()[0]
        assert header.split(",") == [column.name for column in columns]
        assert seed["config"]["column_types"] == {
            column.name: "boolean"
            if column.allowed == ("true", "false")
            else types.get(column.kind, "text")
            for column in columns
        }
        assert [column["name"] for column in seed["columns"]] == [c.name for c in columns]
        assert all(column["description"].strip() for column in seed["columns"])


def test_accepted_values_of_dbt_are_those_of_the_check() -> None:
    for seed in yaml.safe_load((SHIPPED / "_seeds.yml").read_text(encoding="utf-8"))["seeds"]:
        for column in seed["columns"]:
            spec = SEEDS[seed["name"]].column(column["name"])
            for test in column.get("data_tests", []):
                values = isinstance(test, dict) and test.get("accepted_values")
                if values and spec.kind != "integer":
                    assert tuple(values["arguments"]["values"]) == spec.allowed


def test_every_shipped_source_is_watched_by_the_coverage_model() -> None:
    model = ROOT / "models/intermediate/spine/int_health__source_coverage.sql"
    watched = set(re.findall(r"^\s+\('(\w+)', \[", model.read_text(encoding="utf-8"), re.MULTILINE))
    with (SHIPPED / "metrics.csv").open(encoding="utf-8", newline="") as file:
        used = {row["source_key"] for row in csv.DictReader(file)}
    assert used <= watched


def test_the_published_default_weights_are_exact(seeds: Seeds) -> None:
    weights = {
        row["category_key"]: row["weight"]
        for row in seeds.rows("category_weights")
        if row["scorecard_key"] == "standard"
    }
    assert {key: float(weight) for key, weight in weights.items()} == {
        "product_usage": 0.25,
        "satisfaction": 0.20,
        "churn_risk": 0.20,
        "support": 0.15,
        "onboarding": 0.10,
        "engagement": 0.05,
        "revenue": 0.05,
    }
    bands = [(row["band_key"], row["lower_bound"]) for row in seeds.rows("bands")]
    assert bands == [("critical", "0"), ("at_risk", "41"), ("healthy", "61"), ("thriving", "81")]


def test_every_metric_has_anchors_for_any_scorecard_and_tenure(seeds: Seeds) -> None:
    anchored = {
        row["metric_key"]
        for row in seeds.rows("metric_anchors")
        if (row["scorecard_key"], row["tenure_days_from"]) == ("*", "0")
    }
    assert anchored == set(_shipped_metrics())


# ---- files, fault 39 ----------------------------------------------------------------------------


def _only(problems: list[PolicyProblem]) -> PolicyProblem:
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


def test_bom_and_windows_line_ends_are_accepted(seeds: Seeds) -> None:
    for path in seeds.files.values():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert seeds.problems() == []


def test_columns_and_anchors_may_stand_in_any_order(seeds: Seeds) -> None:
    rows = seeds.rows("metric_anchors")
    random.Random(1).shuffle(rows)
    seeds.write("metric_anchors", rows)
    path = seeds.path("bands")
    lines = [line.split(",", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    bands = "".join(f"{rest},{first}\n" for first, rest in lines)
    path.write_text(bands, encoding="utf-8")
    assert seeds.problems() == []


def test_a_quoted_cell_may_hold_commas_quotes_and_line_ends(seeds: Seeds) -> None:
    text = '\'); drop table accounts; --\n"so, and" 🎉 مرحبا'
    seeds.change("bands", {"band_key": "critical"}, meaning=text)
    line = seeds.change("bands", {"band_key": "at_risk"}, lower_bound="x")
    found = _only(seeds.problems())
    # the row number is that of an editor: the text above takes two lines
    assert (found.file, found.row, found.column) == ("seeds/bands.csv", line + 1, "lower_bound")


FILE_FAULTS: dict[str, tuple[str, Callable[[str], str | bytes], int, str, str]] = {
    "semicolons": (
        "bands",
        lambda text: text.replace(",", ";"),
        1,
        "",
        "columns are separated by semicolons; save the file separated by commas",
    ),
    "tabs": ("bands", lambda text: text.replace(",", "\t"), 1, "", "separated by tabs"),
    "decimal comma": (
        "category_weights",
        lambda text: text.replace("product_usage,0.25", "product_usage,0,25", 1),
        2,
        "",
        "the row has 5 cells and the header 4 (a decimal comma? write 0.25, not 0,25)",
    ),
    "quoted decimal comma": (
        "category_weights",
        lambda text: text.replace("product_usage,0.25", 'product_usage,"0,25"', 1),
        2,
        "weight",
        "the decimal mark is a point; write 0.25, not 0,25",
    ),
    "percent": (
        "category_weights",
        lambda text: text.replace("product_usage,0.25", "product_usage,25%", 1),
        2,
        "weight",
        "a share is written as a number; write 0.25, not 25%",
    ),
    "ragged, too few": (
        "bands",
        lambda text: text.replace("v1,*,at_risk,2,41,yellow,", "v1,*,at_risk,2,41,"),
        3,
        "",
        "the row has 7 cells and the header 8",
    ),
    "ragged, too many": (
        "bands",
        lambda text: text.replace("Critical,Likely", "Critical,or so,Likely"),
        2,
        "",
        "text with a comma must stand in double quotes",
    ),
    "header repeated": (
        "bands",
        lambda text: text + text.splitlines()[0] + "\n",
        6,
        "",
        "the header is repeated here; delete the row",
    ),
    "blank line": (
        "bands",
        lambda text: text.replace("\nv1,*,healthy", "\n\nv1,*,healthy"),
        4,
        "",
        "the row is blank; delete it",
    ),
    "blank cells": (
        "bands",
        lambda text: text + ",,,,,,,\n",
        6,
        "",
        "the row is blank; delete it",
    ),
    "empty file": ("bands", lambda _: "", 1, "", "the file is empty; its first row must be sco"),
    "blank header": ("bands", lambda text: ",\n" + text, 1, "", "the first row is blank"),
    "column renamed": (
        "bands",
        lambda text: text.replace("lower_bound", "lower_bonud"),
        1,
        "lower_bonud",
        'the seed has no column "lower_bonud"; rename it to "lower_bound"',
    ),
    "column added": (
        "scorecards",
        lambda text: "".join(f"{line},1\n" for line in text.splitlines()).replace(
            "review_by,1", "review_by,zzz", 1
        ),
        1,
        "zzz",
        'the seed has no column "zzz"; delete it',
    ),
    "column twice": (
        "bands",
        lambda text: "".join(f"{line},x\n" for line in text.splitlines()).replace(
            "meaning,x", "meaning,meaning", 1
        ),
        1,
        "meaning",
        "the column is there 2 times; keep one",
    ),
    "column dropped": (
        "knockouts",
        lambda text: "".join(line.rsplit(",", 1)[0] + "\n" for line in text.splitlines()),
        1,
        "reason",
        "the column is missing; add it",
    ),
    "not UTF-8": (
        "bands",
        lambda text: text.replace("cause", "cäuse").encode("latin-1"),
        3,
        "",
        "this is not UTF-8; save the file as CSV UTF-8",
    ),
    "UTF-16": ("bands", lambda text: text.encode("utf-16"), 1, "", "this is not UTF-8"),
    "NUL": ("bands", lambda text: text.replace("cause", "c\x00use"), 3, "", "NUL character"),
    "quote left open": (
        "bands",
        lambda text: text.replace("Critical,", '"Critical,'),
        2,
        "",
        "a quote is not closed or stands inside a cell here",
    ),
    "spaces around a name": (
        "bands",
        lambda text: text.replace("at_risk,", "at_risk ,", 1),
        3,
        "band_key",
        'there are spaces around "at_risk"; remove them',
    ),
    "only spaces": (
        "scorecard_rules",
        lambda text: text.replace("standard,,,", "standard, ,,", 1),
        2,
        "segment",
        "there are only spaces in the cell; leave it empty",
    ),
    "null as a word": (
        "scorecard_rules",
        lambda text: text.replace("standard,,,", "standard,NULL,,", 1),
        2,
        "segment",
        'dbt reads "NULL" as an empty cell',
    ),
    "a name of odd characters": (
        "playbooks",
        lambda text: text.replace("critical_entered", "critical entered!"),
        2,
        "playbook_key",
        '"critical entered!" is not a name',
    ),
    "a line end in a name": (
        "usage_calendar",
        lambda text: text.replace("v1,*,", 'v1,"a\nb",', 1),
        2,
        "segment",
        "line end or control character",
    ),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_broken_file_is_refused(seeds: Seeds, fault: str) -> None:
    name, break_it, row, column, message = FILE_FAULTS[fault]
    before = seeds.path(name).read_text(encoding="utf-8")
    broken = break_it(before)
    assert broken not in (before, before.encode())
    seeds.path(name).write_bytes(broken if isinstance(broken, bytes) else broken.encode())
    found = [one for one in seeds.problems() if one.row == row and one.column == column]
    assert message in _only(found).message
    # one fault is not reported again by other files that lean on this one
    assert {one.file for one in seeds.problems()} == {f"seeds/{name}.csv"}
    with_renamed = fault == "column renamed"
    assert len(seeds.problems()) == (2 if with_renamed else 1)


def test_a_renamed_column_is_reported_as_missing_too(seeds: Seeds) -> None:
    seeds.replace("bands", "lower_bound", "Lower_Bound")
    missing = next(one for one in seeds.problems() if one.column == "lower_bound")
    assert missing.message == 'the column is missing; rename "Lower_Bound"'


def test_a_missing_seed_is_refused(seeds: Seeds) -> None:
    seeds.path("bands").unlink()
    assert "cannot be read" in _only(seeds.problems()).message
    files = {name: path for name, path in seeds.files.items() if name != "bands"}
    found = _only(check_policy(files, known_metrics=seeds.known(), today=TODAY))
    assert str(found) == "seeds/bands.csv: the seed is missing; every version needs it"


# ---- cells --------------------------------------------------------------------------------------

CELL_FAULTS: list[tuple[str, str, str, str]] = [
    ("category_weights", "weight", "", "the cell is blank; write a number from 0 to 1"),
    ("category_weights", "weight", "-0.2", "-0.2 is not allowed; write a number from 0 to 1"),
    ("category_weights", "weight", "1.1", "1.1 is not allowed"),
    ("category_weights", "weight", "NaN", "NaN is not a finite number"),
    ("category_weights", "weight", "-Infinity", "-Infinity is not a finite number"),
    ("metric_anchors", "value", "1e400", "1e400 is too large to be a number"),
    ("metric_anchors", "value", "$5", '"$5" is not a number; write it like 0.25'),
    ("metric_anchors", "value", "1,234.50", '"1,234.50" is not a number'),
    ("metric_anchors", "value", "٣", '"٣" is not a number'),
    ("metric_anchors", "score", "10.5", "10.5 is not allowed; write a number from 0 to 10"),
    ("metric_anchors", "score", "-1", "-1 is not allowed"),
    ("metric_anchors", "tenure_days_from", "1.5", "1.5 is not a whole number"),
    ("metric_anchors", "tenure_days_from", "-1", "write a whole number of 0 or more"),
    ("bands", "lower_bound", "41.0", "write a plain whole number below 1000000000, not 41.0"),
    ("bands", "lower_bound", "101", "101 is not allowed; write a whole number from 0 to 100"),
    ("bands", "traffic_light", "amber", '"amber" is not allowed; Write red, yellow or green'),
    ("bands", "label", "", "the cell is blank; write a text"),
    ("bands", "band_key", "", "the cell is blank; write a name"),
    ("scoring_versions", "status", "champoin", 'did you mean "champion"? Write champion, chal'),
    ("scoring_versions", "status", "", "the cell is blank; write champion, challenger or retired"),
    ("scoring_versions", "valid_from", "01.02.2026", '"01.02.2026" is not a date; write it like'),
    ("scoring_versions", "valid_from", "2026-02-30", '"2026-02-30" is not a date'),
    ("scoring_versions", "valid_from", "", "the cell is blank; write a date like 2026-06-30"),
    ("scorecards", "purpose", "helth", 'did you mean "health"?'),
    ("scorecards", "min_coverage", "50%", "write 0.5, not 50%"),
    ("scorecard_rules", "lifecycle_stage", "trail", 'did you mean "trial"?'),
    ("scorecard_rules", "priority", "0", "write a whole number of 1 or more"),
    ("metrics", "source_key", "suport_tickets", 'did you mean "support_tickets"?'),
    ("metrics", "absence", "null", "an empty cell"),
    ("metrics", "absence", "nil", "Write zero, unknown or not_applicable"),
    ("metrics", "interpolation", "cubic", "Write linear or step"),
    ("metrics", "half_life_days", "0", "write a number above 0"),
    ("event_metrics", "aggregation", "event", 'did you mean "events"?'),
    ("event_metrics", "basis", "per_user", "is not allowed"),
    ("knockouts", "operator", "=>", '"=>" is not allowed'),
    ("usage_calendar", "expected_usage_ratio", "0", "write a number above 0, at most 100"),
    ("churn_base_rates", "churn_rate", "3", "write a number from 0 to 1"),
    ("playbooks", "trigger_type", "band_enterd", 'did you mean "band_entered"?'),
    ("playbooks", "channel", "email", "is not allowed"),
    ("playbooks", "status", "drafted", 'did you mean "draft"?'),
    ("playbooks", "status", "", "the cell is blank"),
    ("playbooks", "cooldown_days", "-1", "write a whole number from 0 to 365"),
    ("playbooks", "cooldown_days", "366", "write a whole number from 0 to 365"),
]


@pytest.mark.parametrize(("name", "column", "cell", "message"), CELL_FAULTS)
def test_a_bad_cell_is_refused(
    seeds: Seeds, name: str, column: str, cell: str, message: str
) -> None:
    rows = seeds.rows(name)
    rows[1 if len(rows) > 1 else 0][column] = cell
    seeds.write(name, rows)
    line = 3 if len(rows) > 1 else 2
    found = [
        one
        for one in seeds.problems()
        if (one.file, one.row, one.column) == (f"seeds/{name}.csv", line, column)
    ]
    assert message in found[0].message


# ---- what the files say together ----------------------------------------------------------------

Break = Callable[[Seeds], int]  # breaks the copy, returns the line that must be named


def _second_version(
    seeds: Seeds, status: str = "challenger", valid_from: str = "2026-06-01"
) -> int:
    new_version(
        seeds.files, "v1", "v2", valid_from=date(2026, 6, 1), author="test", reason="a test"
    )
    return seeds.change(
        "scoring_versions", {"scoring_version": "v2"}, status=status, valid_from=valid_from
    )


def _no_champion(seeds: Seeds) -> int:
    seeds.change("scoring_versions", {}, status="retired")
    return 1


def _bandless_version(seeds: Seeds) -> int:
    _second_version(seeds)
    seeds.delete("bands", scoring_version="v2")
    return 0


def _no_intercept(seeds: Seeds) -> int:
    _model(seeds)
    seeds.delete("churn_model", feature="intercept")
    return 2


def _no_event_metrics(seeds: Seeds) -> int:
    seeds.write("event_metrics", [])
    return 2


def _one_band(seeds: Seeds) -> int:
    seeds.write("bands", seeds.rows("bands")[:1])
    return 2


def _star_scorecards_gone(seeds: Seeds) -> int:
    seeds.change("bands", {}, scorecard_key="standard")
    return seeds.find("scorecards", scorecard_key="usage_only")


def _model(seeds: Seeds, **cells: str) -> int:
    row = {
        "scoring_version": "v1",
        "churn_model_version": "m1",
        "feature": "logins",
        "coefficient": "-0.5",
        "mean": "6",
        "standard_deviation": "2",
        "trained_from": "2025-01-01",
        "trained_to": "2025-12-31",
        "churner_count": "80",
        "auc": "0.72",
    }
    seeds.add(
        "churn_model", **(row | {"feature": "intercept", "mean": "", "standard_deviation": ""})
    )
    return seeds.add("churn_model", **(row | cells))


def _weights(seeds: Seeds, card: str, weight: str) -> int:
    return seeds.change("category_weights", {"scorecard_key": card}, weight=weight)


def _deleted(name: str, where: dict[str, str], at: Break) -> Break:
    """Delete rows; `at` says which line is then to blame."""

    def broken(seeds: Seeds) -> int:
        seeds.delete(name, **where)
        return at(seeds)

    return broken


def _line(line: int) -> Break:
    return lambda _: line


def _row(name: str, **where: str) -> Break:
    return lambda seeds: seeds.find(name, **where)


def _changed(name: str, where: dict[str, str], **cells: str) -> Break:
    return lambda seeds: seeds.change(name, where, **cells)


def _added(name: str, **cells: str) -> Break:
    return lambda seeds: seeds.add(name, **cells)


def _anchors_of(seeds: Seeds, metric: str, points: list[tuple[str, str]], tenure: str = "0") -> int:
    seeds.delete("metric_anchors", metric_key=metric, scorecard_key="*")
    line = 0
    for value, score in points:
        at = seeds.add(
            "metric_anchors",
            scoring_version="v1",
            scorecard_key="*",
            metric_key=metric,
            tenure_days_from=tenure,
            value=value,
            score=score,
        )
        line = line or at
    return line


def _usage_window(seeds: Seeds, begins: str, ends: str) -> int:
    return seeds.add(
        "usage_calendar",
        scoring_version="v1",
        segment="*",
        from_date=begins,
        to_date=ends,
        expected_usage_ratio="0.5",
        reason="a test",
    )


def _playbook(
    trigger: str, value: str, text: str = "Call {account_name}", moves: str = ""
) -> Break:
    return _added(
        "playbooks",
        playbook_key="test",
        status="active",
        trigger_type=trigger,
        trigger_value=value,
        moves_key=moves,
        action_text=text,
        owner_role="csm",
        channel="csm_task",
        priority="1",
        due_days="1",
        cooldown_days="1",
    )


def _unproduced_metric(seeds: Seeds, *, is_weighted: bool) -> int:
    row = next(row for row in seeds.rows("metrics") if row["metric_key"] == "logins")
    line = seeds.add("metrics", **(row | {"metric_key": "loginz"}))
    if is_weighted:
        _anchors_of(seeds, "nps", [("2", "0"), ("9", "10")])
        seeds.change("metric_anchors", {"metric_key": "logins"}, metric_key="loginz")
        return seeds.change("metric_weights", {"metric_key": "logins"}, metric_key="loginz")
    return line


FAULTS: dict[str, tuple[Break, str, str, list[str]]] = {
    # versions
    "no champion": (
        _no_champion,
        "scoring_versions",
        "status",
        ["no version is champion; set one to champion"],
    ),
    "two champions": (
        lambda seeds: _second_version(seeds, "champion"),
        "scoring_versions",
        "status",
        ["rows 2 and 3 are both champion", "retired"],
    ),
    "champion of the future": (
        _changed("scoring_versions", {}, valid_from="2026-07-01"),
        "scoring_versions",
        "valid_from",
        ["the champion begins on 2026-07-01, after 2026-06-30; leave it challenger until then"],
    ),
    "retired after the champion": (
        lambda seeds: _second_version(seeds, "retired"),
        "scoring_versions",
        "valid_from",
        ["v2 is retired but begins on 2026-06-01", "row 2 (2020-01-01)"],
    ),
    "two versions from one date": (
        lambda seeds: _second_version(seeds, "retired", "2020-01-01"),
        "scoring_versions",
        "valid_from",
        ["rows 2 and 3 both begin on 2020-01-01"],
    ),
    "challenger not after the champion": (
        lambda seeds: _second_version(seeds, "challenger", "2020-01-01"),
        "scoring_versions",
        "valid_from",
        ["the challenger v2 begins on 2020-01-01, not after the champion in row 2"],
    ),
    "unknown version": (
        _changed("bands", {"band_key": "healthy"}, scoring_version="vl"),
        "bands",
        "scoring_version",
        ['"vl" is no version of scoring_versions; Known: v1'],
    ),
    "version without bands": (
        _bandless_version,
        "bands",
        "scoring_version",
        ["there is no row of version v2; a version is complete in itself"],
    ),
    "unknown churn model": (
        _changed("scoring_versions", {}, churn_model_version="m1"),
        "scoring_versions",
        "churn_model_version",
        ['"m1" is no model of churn_model in version v1; there is none'],
    ),
    # keys
    "metric twice": (
        lambda seeds: seeds.add("metrics", **seeds.rows("metrics")[0]),
        "metrics",
        "metric_key",
        ["scoring_version v1, metric_key logins stands in row 2 already"],
    ),
    "priority twice": (
        _changed("scorecard_rules", {"priority": "20"}, priority="10"),
        "scorecard_rules",
        "priority",
        ["priority 10 stands in row 2 already"],
    ),
    "anchor value twice": (
        lambda seeds: _anchors_of(seeds, "nps", [("2", "0"), ("9", "10"), ("9.0", "9")]) + 2,
        "metric_anchors",
        "value",
        ["metric_key nps, tenure_days_from 0, value 9.0 stands in row ", " already"],
    ),
    # names
    "unknown scorecard": (
        _changed("category_weights", {"scorecard_key": "standard"}, scorecard_key="standart"),
        "category_weights",
        "scorecard_key",
        ['"standart" is no scorecard of scorecards in version v1; did you mean "standard"?'],
    ),
    "star where a scorecard must be named": (
        _changed("scorecard_rules", {"priority": "10"}, scorecard_key="*"),
        "scorecard_rules",
        "scorecard_key",
        ['"*" is not a name'],
    ),
    "unknown metric": (
        _changed("metric_weights", {"metric_key": "logins"}, metric_key="login"),
        "metric_weights",
        "metric_key",
        ['"login" is no metric of metrics in version v1; did you mean "logins"? Known: logins'],
    ),
    "unknown metric of an anchor": (
        _added(
            "metric_anchors",
            scoring_version="v1",
            scorecard_key="*",
            metric_key="npss",
            tenure_days_from="0",
            value="1",
            score="1",
        ),
        "metric_anchors",
        "metric_key",
        ['did you mean "nps"?'],
    ),
    "unknown category": (
        _changed("category_weights", {"category_key": "support"}, category_key="suport"),
        "category_weights",
        "category_key",
        ['"suport" is no category of metrics in version v1; did you mean "support"?'],
    ),
    "unknown event metric": (
        _added("event_metric_events", scoring_version="v1", metric_key="evnts", event_name="login"),
        "event_metric_events",
        "metric_key",
        ['"evnts" is no metric of event_metrics', 'did you mean "events"?'],
    ),
    "events without event metrics": (
        _no_event_metrics,
        "event_metric_events",
        "metric_key",
        ['"logins" is no metric of event_metrics in version v1; there is none'],
    ),
    "metric that no signal produces, weighted": (
        lambda seeds: _unproduced_metric(seeds, is_weighted=True),
        "metric_weights",
        "metric_key",
        ["no signal produces the metric loginz", 'did you mean "logins"? Known: logins,'],
    ),
    "metric that no signal produces": (
        lambda seeds: _unproduced_metric(seeds, is_weighted=False),
        "metrics",
        "metric_key",
        ["no signal produces the metric loginz", "Known: logins,"],
    ),
    # scorecards and weights
    "fall without days": (
        _changed("scorecards", {"scorecard_key": "standard"}, fall_points="15"),
        "scorecards",
        "fall_days",
        ["fall_points and fall_days go together"],
    ),
    "days without a fall": (
        _changed("scorecards", {"scorecard_key": "standard"}, fall_days="15"),
        "scorecards",
        "fall_points",
        ["fall_points and fall_days go together"],
    ),
    "nobody gets a health score": (
        _deleted("scorecard_rules", {"scorecard_key": "standard"}, _line(2)),
        "scorecard_rules",
        "scorecard_key",
        ["no rule of version v1 gives a scorecard of purpose health", "standard"],
    ),
    "scorecard without weights": (
        _added(
            "scorecards",
            scoring_version="v1",
            scorecard_key="mine",
            label="Mine",
            purpose="health",
            min_coverage="0.5",
            hysteresis_points="3",
            confirm_days="7",
            review_by="2027-01-01",
        ),
        "scorecards",
        "scorecard_key",
        ["scorecard mine has no row in category_weights"],
    ),
    "category weights sum to 0.98": (
        _changed(
            "category_weights", {"weight": "0.25", "scorecard_key": "standard"}, weight="0.23"
        ),
        "category_weights",
        "weight",
        [
            "category weights of scorecard standard sum to 0.98, not 1",
            "version v1, rows 2-8",
            "add 0.02",
        ],
    ),
    "category weights sum to 1.1": (
        _changed(
            "category_weights", {"weight": "0.25", "scorecard_key": "standard"}, weight="0.35"
        ),
        "category_weights",
        "weight",
        ["sum to 1.1, not 1", "take 0.1 away"],
    ),
    "category weights miss 1 by a little": (
        _changed(
            "category_weights", {"weight": "0.25", "scorecard_key": "standard"}, weight="0.2500011"
        ),
        "category_weights",
        "weight",
        ["sum to 1.0000011, not 1"],
    ),
    "all category weights 0": (
        lambda seeds: _weights(seeds, "standard", "0"),
        "category_weights",
        "weight",
        ["all category weights of scorecard standard are 0 (version v1, rows 2-8)"],
    ),
    "metric weights sum to 0.9": (
        _changed(
            "metric_weights", {"scorecard_key": "standard", "metric_key": "csat"}, weight="0.4"
        ),
        "metric_weights",
        "weight",
        ["metric weights of category satisfaction in scorecard standard sum to 0.9, not 1"],
    ),
    "all metric weights of a category 0": (
        _changed(
            "metric_weights", {"scorecard_key": "usage_only", "metric_key": "mrr"}, weight="0"
        ),
        "metric_weights",
        "weight",
        ["all metric weights of category revenue in scorecard usage_only are 0"],
    ),
    "category without metrics": (
        _deleted(
            "metric_weights",
            {"scorecard_key": "usage_only", "metric_key": "mrr"},
            _row("category_weights", scorecard_key="usage_only", category_key="revenue"),
        ),
        "category_weights",
        "category_key",
        ["category revenue of scorecard usage_only has no metric in metric_weights"],
    ),
    "metric of a category without weight": (
        _added(
            "metric_weights",
            scoring_version="v1",
            scorecard_key="usage_only",
            metric_key="tickets",
            weight="1",
        ),
        "metric_weights",
        "metric_key",
        ["tickets belongs to category support, which has no weight in scorecard usage_only"],
    ),
    # metrics
    "prior without strength": (
        _changed("metrics", {"metric_key": "nps"}, prior_strength=""),
        "metrics",
        "prior_strength",
        ["prior_value and prior_strength go together"],
    ),
    "strength without prior": (
        _changed("metrics", {"metric_key": "nps"}, prior_value=""),
        "metrics",
        "prior_value",
        ["prior_value and prior_strength go together"],
    ),
    "event metric without window": (
        _changed("metrics", {"metric_key": "logins"}, window_days=""),
        "metrics",
        "window_days",
        ["logins counts events, so it needs a window"],
    ),
    "event metric of another source": (
        _changed("metrics", {"metric_key": "logins"}, source_key="support_tickets"),
        "metrics",
        "source_key",
        ["logins counts product events; write product_usage or product_events"],
    ),
    "event metric without events": (
        _deleted("event_metric_events", {"metric_key": "logins"}, _line(2)),
        "event_metrics",
        "metric_key",
        ["logins counts no event"],
    ),
    "every event and others": (
        lambda seeds: seeds.add(
            "event_metric_events", scoring_version="v1", metric_key="logins", event_name="*"
        ),
        "event_metric_events",
        "event_name",
        ["* stands for every event, and logins names others too (rows 2, 28)"],
    ),
    # anchors
    "weighted metric without anchors": (
        _deleted(
            "metric_anchors",
            {"metric_key": "churn_probability"},
            _row("metric_weights", metric_key="churn_probability"),
        ),
        "metric_weights",
        "metric_key",
        ["churn_probability has a weight and no anchors", "scorecard standard or *, tenure 0"],
    ),
    "no anchors for tenure 0": (
        lambda seeds: _anchors_of(seeds, "nps", [("2", "0"), ("9", "10")], tenure="30"),
        "metric_anchors",
        "tenure_days_from",
        ["there is no anchor set for tenure 0 (metric nps, scorecard *, version v1)"],
    ),
    "one anchor": (
        lambda seeds: _anchors_of(seeds, "nps", [("2", "5")]),
        "metric_anchors",
        "value",
        ["the anchor set has one point (metric nps, scorecard *, version v1, tenure 0)"],
    ),
    # bands
    "first band not 0": (
        _changed("bands", {"band_key": "critical"}, lower_bound="1"),
        "bands",
        "lower_bound",
        ["the first band begins at 1 (scorecard *, version v1)", "write 0"],
    ),
    "two bands from one bound": (
        _changed("bands", {"band_key": "healthy"}, lower_bound="41"),
        "bands",
        "lower_bound",
        ["rows 3 and 4 both begin at 41"],
    ),
    "band ranks out of order": (
        _changed("bands", {"band_key": "thriving"}, band_rank="5"),
        "bands",
        "band_rank",
        ["band thriving has rank 5 and is number 4 by its lower bound", "write 4"],
    ),
    "one band": (
        _one_band,
        "bands",
        "band_key",
        ["there is only one band"],
    ),
    "reserved band": (
        _changed("bands", {"band_key": "thriving"}, band_key="insufficient_data"),
        "bands",
        "band_key",
        ["insufficient_data is the band of accounts without a score"],
    ),
    "scorecard without bands": (
        _star_scorecards_gone,
        "scorecards",
        "scorecard_key",
        ["scorecard usage_only has no bands (version v1)"],
    ),
    # the rest
    "unknown band of a knock-out": (
        _changed("knockouts", {"metric_key": "cancel_notice"}, worst_band_key="critcal"),
        "knockouts",
        "worst_band_key",
        ['"critcal" is no band of scorecard standard', 'did you mean "critical"?'],
    ),
    "unknown metric of a knock-out": (
        _changed("knockouts", {"metric_key": "cancel_notice"}, metric_key="cancel"),
        "knockouts",
        "metric_key",
        ['"cancel" is no metric of metrics'],
    ),
    "usage window that ends before it begins": (
        lambda seeds: _usage_window(seeds, "2026-05-10", "2026-05-01"),
        "usage_calendar",
        "to_date",
        ["the window ends on 2026-05-01, before it begins"],
    ),
    "usage windows that overlap": (
        lambda seeds: _usage_window(seeds, "2026-01-02", "2026-01-05"),
        "usage_calendar",
        "from_date",
        ["while the one in row 8 of segment * still runs (to 2026-01-02)"],
    ),
    "no base rate for all": (
        _deleted("churn_base_rates", {"segment": "*"}, _line(0)),
        "churn_base_rates",
        "segment",
        ["weighs churn_probability and has no base rate for segment *"],
    ),
    "no base rate for tenure 0": (
        _deleted(
            "churn_base_rates",
            {"segment": "smb", "tenure_days_from": "0"},
            _row("churn_base_rates", segment="smb"),
        ),
        "churn_base_rates",
        "tenure_days_from",
        ["segment smb has no rate for tenure 0"],
    ),
    "churn model without intercept": (
        _no_intercept,
        "churn_model",
        "feature",
        ["the model m1 has no intercept"],
    ),
    "churn model trained backwards": (
        lambda seeds: _model(seeds, trained_to="2024-12-31"),
        "churn_model",
        "trained_to",
        ["the training window ends on 2024-12-31, before it begins"],
    ),
    "churn model on itself": (
        lambda seeds: _model(seeds, feature="churn_probability"),
        "churn_model",
        "feature",
        ["churn_probability cannot be a feature of itself"],
    ),
    "churn model on an unknown metric": (
        lambda seeds: _model(seeds, feature="npps"),
        "churn_model",
        "feature",
        ['"npps" is no metric of version v1; did you mean "nps"?'],
    ),
    "churn model without a spread": (
        lambda seeds: _model(seeds, standard_deviation=""),
        "churn_model",
        "standard_deviation",
        ["feature logins needs a standard_deviation"],
    ),
    # playbooks
    "band that is none": (
        _playbook("band_entered", "criticl"),
        "playbooks",
        "trigger_value",
        ['"criticl" is no band; did you mean "critical"?'],
    ),
    "band without days": (
        _playbook("band_held", "critical"),
        "playbooks",
        "trigger_value",
        ['"critical" is not allowed; write it like at_risk:30'],
    ),
    "band with odd days": (
        _playbook("band_held", "critical:x"),
        "playbooks",
        "trigger_value",
        ['"x" is not allowed; write whole days from 0 to 3660'],
    ),
    "band held for half days": (
        _playbook("band_held", "critical:30.5"),
        "playbooks",
        "trigger_value",
        ['"30.5" is not allowed; write whole days from 0 to 3660'],
    ),
    "fall of nothing": (
        _playbook("score_fell", "0:28"),
        "playbooks",
        "trigger_value",
        ['"0" is not allowed; write points from 1 to 100'],
    ),
    "metric that is none": (
        _playbook("metric_below", "npps:4"),
        "playbooks",
        "trigger_value",
        ['"npps" is no metric; did you mean "nps"?'],
    ),
    "category score over 10": (
        _playbook("category_below", "support:11"),
        "playbooks",
        "trigger_value",
        ["write a score from 0 to 10"],
    ),
    "no feature": (
        _playbook("feature_unused", ""),
        "playbooks",
        "trigger_value",
        ['"" is not allowed; write it like automations:30'],
    ),
    "feature without days": (
        _playbook("feature_unused", "automations"),
        "playbooks",
        "trigger_value",
        ['"automations" is not allowed; write it like automations:30'],
    ),
    "days without a feature": (
        _playbook("feature_unused", ":30"),
        "playbooks",
        "trigger_value",
        ["there is no feature; write its key and days, like automations:30"],
    ),
    "feature unused for no day": (
        _playbook("feature_unused", "automations:0"),
        "playbooks",
        "trigger_value",
        ['"0" is not allowed; write whole days from 1 to 365'],
    ),
    "feature unused for too long": (
        _playbook("feature_unused", "automations:366"),
        "playbooks",
        "trigger_value",
        ['"366" is not allowed; write whole days from 1 to 365'],
    ),
    "value without use": (
        _playbook("champion_gone", "7"),
        "playbooks",
        "trigger_value",
        ['this trigger takes no value; delete "7"'],
    ),
    "score over 100": (
        _playbook("expansion_above", "101"),
        "playbooks",
        "trigger_value",
        ["write a score from 0 to 100"],
    ),
    "placeholder that is none": (
        _playbook("champion_gone", "", "Call {acount_name}"),
        "playbooks",
        "action_text",
        ['{acount_name} is no placeholder; did you mean "account_name"?'],
    ),
    "brace left open": (
        _playbook("champion_gone", "", "Call {account_name"),
        "playbooks",
        "action_text",
        ["a brace is not closed; write {account_name}, and no other braces"],
    ),
    "brace of nothing": (
        _playbook("champion_gone", "", "Call {account_name} now}"),
        "playbooks",
        "action_text",
        ["a brace is not closed; write {account_name}, and no other braces"],
    ),
    "doubled braces": (
        _playbook("champion_gone", "", "Call {{account_name}}"),
        "playbooks",
        "action_text",
        ["a brace is not closed; write {account_name}, and no other braces"],
    ),
    "braces around nothing": (
        _playbook("champion_gone", "", "Call {} of {account_name}"),
        "playbooks",
        "action_text",
        ["{} is no placeholder"],
    ),
    "placeholder with a format": (
        _playbook("champion_gone", "", "Call {account_name!r}"),
        "playbooks",
        "action_text",
        ['{account_name!r} is no placeholder; did you mean "account_name"?'],
    ),
    "metric without its trigger": (
        _playbook("category_below", "support:4", "Look at {metric_label}"),
        "playbooks",
        "action_text",
        ["{metric_label} is known to playbooks with the trigger metric_below only"],
    ),
    "value without its trigger": (
        _playbook("champion_gone", "", "Look at {metric_value}"),
        "playbooks",
        "action_text",
        ["{metric_value} is known to playbooks with the trigger metric_below only"],
    ),
    "feature without its trigger": (
        _playbook("metric_below", "nps:4", "Show {feature_key}"),
        "playbooks",
        "action_text",
        ["{feature_key} is known to playbooks with the trigger feature_unused only"],
    ),
    "aim that is none": (
        _playbook("champion_gone", "", moves="npps"),
        "playbooks",
        "moves_key",
        ['"npps" is neither a metric nor a category; did you mean "nps"?'],
    ),
    "aim that is a feature": (
        _playbook("feature_unused", "automations:30", moves="automations"),
        "playbooks",
        "moves_key",
        ['"automations" is neither a metric nor a category'],
    ),
}


def test_the_verdict_is_taken_in_exactly_one_window(seeds: Seeds) -> None:
    line = seeds.change(
        "validation_windows", {"lead_days": "90", "horizon_days": "90"}, is_headline="true"
    )
    (second,) = seeds.problems()
    assert (second.row, second.column) == (line, "is_headline")
    assert "row 2 is the headline already" in second.message
    for row in seeds.rows("validation_windows"):
        where = {name: row[name] for name in ("lead_days", "horizon_days")}
        seeds.change("validation_windows", where, is_headline="false")
    (none,) = seeds.problems()
    assert "no window is the headline" in none.message


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_policy_is_refused(seeds: Seeds, fault: str) -> None:
    break_it, name, column, fragments = FAULTS[fault]
    assert seeds.problems() == []
    line = break_it(seeds)
    found = [
        one.message
        for one in seeds.problems()
        if (one.file, one.row, one.column) == (f"seeds/{name}.csv", line, column)
    ]
    assert len(found) == 1, [str(problem) for problem in seeds.problems()]
    assert [part for part in fragments if part not in found[0]] == [], found[0]


def test_a_problem_reads_as_one_line(seeds: Seeds) -> None:
    seeds.change("metric_weights", {"metric_key": "tickets"}, weight="0.4")
    assert str(_only(seeds.problems())) == (
        "seeds/metric_weights.csv, row 8, column weight: the metric weights of category support "
        "in scorecard standard sum to 0.9, not 1 (version v1, rows 8-9); add 0.1"
    )


def test_weights_within_a_millionth_are_accepted(seeds: Seeds) -> None:
    seeds.change(
        "category_weights", {"scorecard_key": "standard", "weight": "0.25"}, weight="0.250001"
    )
    assert seeds.problems() == []


def test_own_anchors_and_bands_may_stand_for_those_of_every_scorecard(seeds: Seeds) -> None:
    for row in seeds.rows("metric_anchors"):
        if row["metric_key"] == "churn_probability":
            seeds.add("metric_anchors", **(row | {"scorecard_key": "standard"}))
    seeds.delete("metric_anchors", metric_key="churn_probability", scorecard_key="*")
    for row in seeds.rows("bands"):
        seeds.add("bands", **(row | {"scorecard_key": "expansion"}))
    assert seeds.problems() == []


def test_a_fitted_churn_model_is_accepted(seeds: Seeds) -> None:
    _model(seeds)
    seeds.change("scoring_versions", {}, churn_model_version="m1")
    assert seeds.problems() == []


def test_the_edges_of_what_is_allowed_are_allowed(seeds: Seeds) -> None:
    seeds.change("scoring_versions", {}, valid_from=TODAY.isoformat())
    _usage_window(seeds, "2026-01-03", "2026-01-03")  # one day, right after another window
    _model(seeds, trained_to="2025-01-01")
    seeds.change("playbooks", {"playbook_key": "adoption_low"}, trigger_value="nps:10")
    seeds.change("playbooks", {"playbook_key": "support_pain"}, trigger_value="support:0")
    for value, text, aim in (
        ("automations:1", "Show {feature_key}", "nps"),
        ("automations:365", "Show {account_name}{feature_key}", "support"),
    ):
        seeds.change(
            "playbooks",
            {"playbook_key": "feature_unused"},
            trigger_value=value,
            action_text=text,
            moves_key=aim,
            cooldown_days="0",
            status="draft",
        )
        assert seeds.problems() == []
    text = "{metric_label} is at {metric_value}: call {account_name}, {segment}, {csm_id}"
    seeds.change("playbooks", {"playbook_key": "adoption_low"}, action_text=text)
    seeds.change("category_weights", {"scorecard_key": "expansion"}, weight="0")
    line = {"scorecard_key": "expansion", "category_key": "product_usage"}
    seeds.change("category_weights", line, weight="1")
    assert seeds.problems() == []


def test_names_of_the_user_may_hold_spaces_and_letters_of_any_script(seeds: Seeds) -> None:
    seeds.change("churn_base_rates", {"segment": "smb"}, segment="Mid market (größer)")
    assert seeds.problems() == []


def test_base_rates_are_needed_only_where_churn_is_weighed(seeds: Seeds) -> None:
    seeds.change("category_weights", {"category_key": "churn_risk"}, category_key="outcomes")
    row = {"metric_key": "churn_probability"}
    seeds.change("metric_weights", row, metric_key="goal_progress")
    seeds.write("churn_base_rates", [])
    assert seeds.problems() == []


def test_promoting_a_challenger_is_accepted(seeds: Seeds) -> None:
    _second_version(seeds)
    assert seeds.problems() == []
    seeds.change("scoring_versions", {"scoring_version": "v1"}, status="retired")
    seeds.change("scoring_versions", {"scoring_version": "v2"}, status="champion")
    assert seeds.problems() == []
    # on an earlier date the new champion was not in force yet
    assert [one.column for one in seeds.problems(date(2026, 5, 31))] == ["valid_from"]


def test_metrics_of_the_event_seed_count_as_produced(seeds: Seeds) -> None:
    known = {key: "a signal" for key in _shipped_metrics() if key != "logins"}
    assert check_policy(seeds.files, known_metrics=known, today=TODAY) == []


# ---- advice -------------------------------------------------------------------------------------


def test_lint_names_overdue_reviews_idle_rules_and_coarse_anchors(seeds: Seeds) -> None:
    review = seeds.change("scorecards", {"scorecard_key": "standard"}, review_by="2026-06-29")
    idle = seeds.add(
        "scorecard_rules",
        scoring_version="v1",
        priority="90",
        scorecard_key="usage_only",
        segment="smb",
        lifecycle_stage="active",
        tenure_days_from="30",
    )
    seeds.change("scorecard_rules", {"priority": "20"}, tenure_days_from="30")
    coarse = _anchors_of(seeds, "mrr", [("0", "0"), ("50", "5"), ("5000", "10")])
    expected = {
        f"metric_anchors.csv, row {coarse}, column value": "mrr spans 50 to 5000 in 3 points; "
        "heavy-tailed metrics need 5",
        f"scorecard_rules.csv, row {idle}, column priority": "the rule never matches: the one in "
        "row 3 comes first",
        f"scorecards.csv, row {review}, column review_by": "the review of scorecard standard was "
        "due on 2026-06-29",
    }
    found = [str(one) for one in lint_policy(seeds.files, today=TODAY)]
    assert found == [f"seeds/{where}: {what}" for where, what in expected.items()]
    assert seeds.problems() == []


def test_lint_waits_until_the_day_of_the_review_is_over(seeds: Seeds) -> None:
    seeds.change("scorecards", {}, review_by=TODAY.isoformat())
    assert lint_policy(seeds.files, today=TODAY) == []


def test_lint_lets_rules_stand_that_match_something(seeds: Seeds) -> None:
    seeds.change("scorecard_rules", {"priority": "10"}, segment="smb")
    seeds.change("scorecard_rules", {"priority": "20"}, tenure_days_from="90")
    for priority, stage in (("91", "onboarding"), ("92", "active")):
        seeds.add(
            "scorecard_rules",
            scoring_version="v1",
            priority=priority,
            scorecard_key="usage_only",
            lifecycle_stage=stage,
        )
    assert lint_policy(seeds.files, today=TODAY) == []


def test_lint_names_playbooks_that_no_score_can_fire(seeds: Seeds) -> None:
    """Metrics and categories that only other scorecards weigh, or none, drafts too; the rest may
    stand."""
    cells = {"owner_role": "csm", "channel": "csm_task", "action_text": "Call {account_name}"}
    numbers = {"priority": "1", "due_days": "1", "cooldown_days": "1"}
    added = [
        seeds.add(
            "playbooks",
            playbook_key=f"test_{number}",
            status=status,
            trigger_type=trigger,
            trigger_value=value,
            **cells,
            **numbers,
        )
        for number, (status, trigger, value) in enumerate(
            (
                ("active", "metric_below", "payment_timeliness:4"),
                ("draft", "metric_below", "stickiness:4"),
                ("active", "category_below", "account:4"),
                ("active", "metric_below", "csm_sentiment:4"),
                ("active", "category_below", "champion:4"),
                ("active", "feature_unused", "stickiness:30"),
            )
        )
    ]
    assert seeds.problems() == []
    assert [str(one) for one in lint_policy(seeds.files, today=TODAY)] == [
        f"seeds/playbooks.csv, row {line}, column trigger_value: no health scorecard gives {name} "
        "a weight: the playbook never fires"
        for line, name in zip(
            added[:3], ("payment_timeliness", "stickiness", "account"), strict=True
        )
    ]


# ---- hashes -------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), has_bom=st.booleans(), line_end=st.sampled_from(["\n", "\r\n"]))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_hashes_do_not_depend_on_the_writing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, has_bom: bool, line_end: str
) -> None:
    seeds = Seeds(tmp_path_factory.mktemp("seeds"))
    expected = policy_hashes(seeds.files)
    shuffle = random.Random(seed)
    for name, path in seeds.files.items():
        rows = seeds.rows(name)
        shuffle.shuffle(rows)
        columns = [column.name for column in SEEDS[name].columns]
        shuffle.shuffle(columns)
        out = io.StringIO(newline="")
        writer = csv.writer(
            out,
            lineterminator=line_end,
            quoting=shuffle.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
        )
        writer.writerow(columns)
        writer.writerows([row[column] for column in columns] for row in rows)
        path.write_text(out.getvalue(), encoding="utf-8-sig" if has_bom else "utf-8", newline="")
    assert policy_hashes(seeds.files) == expected


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_hashes_depend_on_every_cell_that_scores(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    seeds = Seeds(tmp_path_factory.mktemp("seeds"))
    _model(seeds)
    expected = policy_hashes(seeds.files)
    name = data.draw(st.sampled_from(sorted(n for n, s in SEEDS.items() if s.is_versioned)))
    column = data.draw(st.sampled_from([c.name for c in SEEDS[name].columns[1:]]))
    rows = seeds.rows(name)
    row = data.draw(st.sampled_from(rows))
    row[column] += "7"
    seeds.write(name, rows)
    administration = {"status", "valid_from", "fitted_to", "author", "reason"}
    is_free = (name == "scoring_versions" and column in administration) or column == "review_by"
    assert (policy_hashes(seeds.files) == expected) is is_free


def test_a_number_may_be_spelt_otherwise(seeds: Seeds) -> None:
    expected = policy_hashes(seeds.files)
    seeds.change("category_weights", {"weight": "0.25"}, weight="0.2500")
    seeds.change("category_weights", {"weight": "0.20"}, weight="2e-1")
    assert policy_hashes(seeds.files) == expected


def test_hashes_of_a_version_ignore_the_others(seeds: Seeds) -> None:
    before = policy_hashes(seeds.files)
    _second_version(seeds)
    after = policy_hashes(seeds.files)
    assert list(after) == ["v1", "v2"]
    assert changed_versions(after, before) == []
    assert after["v1"] != after["v2"]


def test_changed_and_deleted_versions_are_named() -> None:
    published = {"v1": "a", "v2": "b", "v3": "c"}
    assert changed_versions({"v1": "a", "v2": "x", "v4": "d"}, published) == ["v2", "v3"]
    assert changed_versions({"v1": "a"}, {}) == []


def test_hashes_of_unreadable_seeds_are_refused(seeds: Seeds) -> None:
    seeds.replace("bands", "lower_bound", "lower")
    with pytest.raises(HealthError, match=r"seeds/bands\.csv, row 1"):
        policy_hashes(seeds.files)
    files = {name: path for name, path in seeds.files.items() if name != "bands"}
    with pytest.raises(HealthError, match="the seed is missing"):
        policy_hashes(files)


# ---- files of a project -------------------------------------------------------------------------


def _project(folder: Path, text: str = "name: mine\n") -> Path:
    (folder / "seeds").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(text, encoding="utf-8")
    return folder


def test_seeds_of_the_project_win_over_those_of_the_package(tmp_path: Path) -> None:
    project = _project(tmp_path / "mine", "name: mine\nseed-paths: [policy]\n")
    (project / "policy" / "deep").mkdir(parents=True)
    own = project / "policy" / "deep" / "bands.csv"
    shutil.copy(SHIPPED / "bands.csv", own)
    (project / "policy" / "countries.csv").write_text("a\n1\n", encoding="utf-8")
    package = _project(project / "dbt_packages" / "customer_health")
    shutil.copy(SHIPPED / "bands.csv", package / "seeds")
    shutil.copy(SHIPPED / "metrics.csv", package / "seeds")
    found = find_seed_files(project)
    assert list(found) == list(SEEDS)
    assert found["bands"] == own
    assert found["metrics"] == package / "seeds" / "metrics.csv"
    assert found["knockouts"] == SHIPPED / "knockouts.csv"


def test_a_seed_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    project = _project(tmp_path)
    (project / "seeds" / "old").mkdir()
    for folder in ("seeds", "seeds/old"):
        shutil.copy(SHIPPED / "bands.csv", project / folder)
    with pytest.raises(HealthError, match="the seed bands is there twice"):
        find_seed_files(project)


def test_a_broken_project_file_is_refused(tmp_path: Path) -> None:
    project = _project(tmp_path, "name: [mine\n")
    with pytest.raises(HealthError, match=r"dbt_project\.yml, row 2: this is no YAML"):
        find_seed_files(project)


def test_known_metrics_are_read_from_the_models(tmp_path: Path) -> None:
    project = _project(tmp_path)
    (project / "models" / "deep").mkdir(parents=True)
    (project / "models" / "deep" / "signals.yml").write_text(
        "models:\n"
        "  - name: int_mine__signals\n"
        "    config: {meta: {metric_keys: [mood, weather]}}\n"
        "  - name: int_mine__others\n",
        encoding="utf-8",
    )
    known = find_known_metrics(project)
    assert known["mood"] == known["weather"] == "int_mine__signals"
    assert "churn_probability" in known
    assert set(find_known_metrics(ROOT)) < set(known)


def test_known_metrics_default_to_those_of_this_package(seeds: Seeds) -> None:
    given_metrics = check_policy(seeds.files, known_metrics=find_known_metrics(ROOT), today=TODAY)
    assert check_policy(seeds.files, known_metrics=None, today=TODAY) == given_metrics


# ---- a new version ------------------------------------------------------------------------------


def _copy(seeds: Seeds, source: str = "v1", target: str = "v2", **more: str) -> list[Path]:
    cells = {"author": "ann", "reason": "more weight on support"} | more
    return new_version(
        seeds.files,
        source,
        target,
        valid_from=date(2026, 7, 1),
        author=cells["author"],
        reason=cells["reason"],
    )


def test_a_new_version_is_a_complete_challenger(seeds: Seeds) -> None:
    before = {name: path.read_bytes() for name, path in seeds.files.items()}
    written = _copy(seeds)
    assert {path.stem for path in written} == {
        name for name, spec in SEEDS.items() if spec.is_versioned and name != "churn_model"
    }
    assert seeds.problems() == []
    for name, path in seeds.files.items():
        assert path.read_bytes().startswith(before[name])
        rows = seeds.rows(name)
        if SEEDS[name].is_versioned:
            old = [row | {"scoring_version": ""} for row in rows if row["scoring_version"] == "v1"]
            new = [row | {"scoring_version": ""} for row in rows if row["scoring_version"] == "v2"]
            assert name == "scoring_versions" or old == new
    source, copy = seeds.rows("scoring_versions")
    assert copy == {
        "scoring_version": "v2",
        "status": "challenger",
        "valid_from": "2026-07-01",
        "fitted_to": source["fitted_to"],
        "churn_model_version": "",
        "author": "ann",
        "reason": "more weight on support",
    }


def test_a_new_version_keeps_line_ends_and_copes_with_a_missing_last_one(seeds: Seeds) -> None:
    path = seeds.path("bands")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").rstrip())
    _copy(seeds)
    assert path.read_bytes().count(b"\r\n") == 9
    assert b"\n" not in path.read_bytes().replace(b"\r\n", b"")
    assert seeds.problems() == []


def test_a_new_version_goes_into_another_folder(seeds: Seeds, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in seeds.files.values()}
    into = tmp_path / "own"
    into.mkdir()
    new_version(
        seeds.files,
        "v1",
        "v2",
        valid_from=date(2026, 7, 1),
        author="a",
        reason="b",
        into=into,
    )
    assert {path: path.read_bytes() for path in before} == before
    own = {name: into / f"{name}.csv" for name in SEEDS}
    assert check_policy(own, known_metrics=seeds.known(), today=TODAY) == []


@pytest.mark.parametrize(
    ("source", "target", "more", "message"),
    [
        ("v9", "v2", {}, 'there is no version "v9"'),
        ("v1", "v1", {}, "version v1 is there already"),
        ("v1", "v 2", {}, '"v 2" is not a name'),
        ("v1", "", {}, "the cell is blank"),
        ("v1", "v2", {"author": ""}, "author of the new version: the cell is blank"),
        ("v1", "v2", {"reason": " "}, "reason of the new version: the cell is blank"),
    ],
)
def test_a_new_version_that_cannot_be_is_refused(
    seeds: Seeds, source: str, target: str, more: dict[str, str], message: str
) -> None:
    before = {path: path.read_bytes() for path in seeds.files.values()}
    with pytest.raises(HealthError, match=re.escape(message)):
        _copy(seeds, source, target, **more)
    assert {path: path.read_bytes() for path in before} == before


def test_leftovers_of_a_killed_copy_are_not_written_over(seeds: Seeds) -> None:
    row = seeds.rows("bands")[0]
    seeds.add("bands", **(row | {"scoring_version": "v2"}))
    assert "no version of scoring_versions" in _only(seeds.problems()).message
    with pytest.raises(HealthError, match="row 6: version v2 is there already"):
        _copy(seeds)


def test_a_broken_seed_is_not_copied(seeds: Seeds) -> None:
    seeds.replace("bands", "lower_bound", "lower")
    with pytest.raises(HealthError, match=r"seeds/bands\.csv, row 1"):
        _copy(seeds)


@pytest.mark.parametrize("failing", range(13))
def test_nothing_is_lost_if_a_copy_fails_midway(
    seeds: Seeds, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in seeds.files.values()}
    calls = 0
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(HealthError, match="No space left on device"):
        _copy(seeds)
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in seeds.folder.iterdir()} == {path.name for path in before}


def test_nothing_is_lost_on_ctrl_c(seeds: Seeds, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in seeds.files.values()}

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _copy(seeds)
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(seeds.folder.iterdir())) == len(SEEDS)


def test_scoring_versions_is_written_last(seeds: Seeds) -> None:
    assert _copy(seeds)[-1] == seeds.path("scoring_versions")


def test_files_are_replaced_where_hard_links_cannot_be(
    seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    seeds.path("bands").chmod(0o640)
    _copy(seeds)
    assert seeds.path("bands").stat().st_mode & 0o777 == 0o640
    assert seeds.problems() == []
    assert len(list(seeds.folder.iterdir())) == len(SEEDS)
