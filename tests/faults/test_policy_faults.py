"""Broken policy: refused by the real command line before dbt starts, with no table lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fault_kit import assert_refused, fresh_home, run

Change = Callable[[str], str]


def edit(project: Path, seed: str, change: Change) -> None:
    """Change the text of a seed."""
    path = project / "seeds" / f"{seed}.csv"
    path.write_text(change(path.read_text()))


def replace(old: str, new: str) -> Change:
    """Replace a text that is there once."""

    def change(text: str) -> str:
        assert text.count(old) == 1, (old, text.count(old))
        return text.replace(old, new)

    return change


def add_row(row: str) -> Change:
    """Append a row."""
    return lambda text: text.rstrip("\n") + f"\n{row}\n"


def all_weights_zero(text: str) -> str:
    """Weight 0 in every row of the scorecard `standard`."""
    lines = [
        line.rsplit(",", 1)[0] + ",0" if ",standard," in line else line
        for line in text.splitlines()
    ]
    return "\n".join(lines) + "\n"


def repeat_header(text: str) -> str:
    """The header again in the middle, as when two files were joined."""
    lines = text.splitlines()
    return "\n".join([*lines[:3], lines[0], *lines[3:]]) + "\n"


def semicolons(text: str) -> str:
    """As a spreadsheet saves it where the comma is the decimal mark."""
    return text.replace(",", ";")


def refused(number: int, says: str, seed: str, change: Change, name: str) -> object:
    return pytest.param(seed, change, id=name, marks=pytest.mark.fault(number, says=says))


BROKEN = [
    refused(
        34,
        "category weights of scorecard standard sum to 0.98, not 1",
        "category_weights",
        replace("v1,standard,product_usage,0.25", "v1,standard,product_usage,0.23"),
        "weights-sum-to-0.98",
    ),
    refused(
        34,
        "category weights of scorecard standard sum to 1.1, not 1",
        "category_weights",
        replace("v1,standard,product_usage,0.25", "v1,standard,product_usage,0.35"),
        "weights-sum-to-1.1",
    ),
    refused(
        35,
        "-0.25 is not allowed; write a number from 0 to 1",
        "category_weights",
        replace("v1,standard,product_usage,0.25", "v1,standard,product_usage,-0.25"),
        "negative-weight",
    ),
    refused(
        35,
        "NaN is not a finite number",
        "category_weights",
        replace("v1,standard,product_usage,0.25", "v1,standard,product_usage,NaN"),
        "nan-weight",
    ),
    refused(
        35,
        "the cell is blank; write a number from 0 to 1",
        "category_weights",
        replace("v1,standard,product_usage,0.25", "v1,standard,product_usage,"),
        "blank-weight",
    ),
    refused(
        36,
        "all category weights of scorecard standard are 0",
        "category_weights",
        all_weights_zero,
        "all-weights-0",
    ),
    refused(
        37,
        "rows 3 and 4 both begin at 41",
        "bands",
        replace("v1,*,healthy,3,61,", "v1,*,healthy,3,41,"),
        "two-bands-with-one-lower-bound",
    ),
    refused(
        37,
        "the first band begins at 5",
        "bands",
        replace("v1,*,critical,1,0,", "v1,*,critical,1,5,"),
        "no-band-from-0",
    ),
    refused(
        38,
        '"login_count" is no metric of metrics in version v1; ',
        "metric_weights",
        replace("v1,standard,logins,0.333334", "v1,standard,login_count,0.333334"),
        "weight-of-an-unknown-metric",
    ),
    refused(
        39,
        "columns are separated by semicolons; save the file separated by commas",
        "category_weights",
        semicolons,
        "semicolons",
    ),
    refused(
        39,
        "(a decimal comma? write 0.25, not 0,25)",
        "category_weights",
        replace("v1,standard,product_usage,0.25", "v1,standard,product_usage,0,25"),
        "decimal-comma",
    ),
    refused(
        39,
        "a share is written as a number; write 0.25, not 25%",
        "category_weights",
        replace("v1,standard,product_usage,0.25", "v1,standard,product_usage,25%"),
        "percent",
    ),
    refused(
        39,
        "the row has 3 cells and the header 4",
        "category_weights",
        replace("v1,standard,product_usage,0.25", "v1,standard,product_usage"),
        "ragged-row",
    ),
    refused(
        39,
        "the header is repeated here; delete the row",
        "category_weights",
        repeat_header,
        "repeated-header",
    ),
    refused(
        68,
        "keep one of the two rows",
        "metric_anchors",
        add_row("v1,*,logins,0,2,6"),
        "one-anchor-value-twice",
    ),
    refused(
        33,
        "is not a name; use letters, digits",
        "category_weights",
        replace(
            "v1,standard,product_usage,0.25",
            'v1,standard,"product_usage\'); drop table accounts; --",0.25',
        ),
        "sql-as-a-key",
    ),
]


@pytest.mark.parametrize(("seed", "change"), BROKEN)
def test_broken_policy_is_refused_and_no_table_is_lost(
    seed: str, change: Change, home: Path, project: Path, tmp_path: Path
) -> None:
    edit(project, seed, change)
    databases = [home / "build.duckdb", home / "candidate.duckdb", home / "candidate.json"]
    before = [path.read_bytes() for path in databases]
    # an old database, on which `dbt build --full-refresh` would drop the seed's table first
    done = run(home, "run", "--full-rebuild", project=project)
    assert_refused(done, home, says=f"seeds/{seed}.csv, row ")
    assert [path.read_bytes() for path in databases] == before
    # a fresh one
    fresh = fresh_home(home, tmp_path / "fresh")
    done = run(fresh, "run", project=project)
    assert_refused(done, fresh, says=f"seeds/{seed}.csv, row ")
    assert not list(fresh.glob("*build*")) + list(fresh.glob("candidate*"))
