"""Exports of the published copy: complete, in one piece, and no formula in a CSV cell."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_marts import AS_OF, BREAKING_NAME, MARTS, call, make_project, publish_example

from customer_health import export
from customer_health.settings import Settings

FORMULA = '=HYPERLINK("http://x.example","Acme")'


pytestmark = pytest.mark.usefixtures("plain_terminal")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    from small_marts import write_candidate

    settings = make_project(tmp_path / "project")
    write_candidate(settings.candidate)
    with duckdb.connect(str(settings.candidate)) as connection:
        connection.execute(
            f"update {MARTS}.bi_health__account_360 set account_name = ? where account_id = 'A1'",
            [FORMULA],
        )
        connection.execute(
            f"update {MARTS}.bi_health__account_360 set nps_promoter_minus_detractor = -12.5 "
            "where account_id = 'A2'"
        )
    publish_example(settings)
    return settings


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_holds_every_row_and_escapes_formulas(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    result = call(settings, "export", "bi_health__account_360", "--to", str(path))
    assert result.exit_code == 0, result.output
    assert "Wrote 7 rows of bi_health__account_360 (publication 2026-06-30T" in result.output
    assert "1 cells escaped" in result.output
    rows = {row["account_id"]: row for row in read_csv(path)}
    assert len(rows) == 7
    assert rows["A1"]["account_name"] == f"'{FORMULA}"
    assert rows["A2"]["nps_promoter_minus_detractor"] == "-12.5", "numbers stay"
    assert rows["A3"]["account_name"] == BREAKING_NAME, "everything else is shown as it is"
    assert rows["A7"]["health_score"] == "", "null is empty"
    assert rows["A1"]["as_of_date"] == AS_OF.isoformat()
    assert rows["A1"]["is_frozen"] == "false"
    assert not list(tmp_path.glob(".*tmp"))


def test_parquet_is_as_published(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    arguments = ("bi_health__account_360", "--format", "parquet", "--to", str(path), "--json")
    result = call(settings, "export", *arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["row_count"] == 7
    table = pq.read_table(path)
    names = dict(zip(*(table.column(each).to_pylist() for each in ("account_id", "account_name")),
                     strict=True))  # fmt: skip
    assert names["A1"] == FORMULA, "Parquet cells are no formulas"


def test_views_and_snapshots_and_names_with_schema(settings: Settings, tmp_path: Path) -> None:
    for name in (
        "fct_health__account_scores_current",
        "snap_health__account_bands",
        "customer_health.fct_health__publications",
    ):
        result = call(settings, "export", name, "--to", str(tmp_path))
        assert result.exit_code == 0, result.output
        assert read_csv(tmp_path / f"{name.rsplit('.', 1)[-1]}.csv")


def test_the_list_names_tables_and_views(settings: Settings) -> None:
    assert "fct_health__account_scores_current" in call(settings, "export", "--list").output
    tables = json.loads(call(settings, "export", "--list", "--json").stdout)["tables"]
    rows = {each["name"]: each["row_count"] for each in tables}
    assert rows["bi_health__account_360"] == 7
    assert rows["fct_health__account_scores_current"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("bi_health__account_36",), 2, "the nearest is bi_health__account_360"),
        (("duckdb_settings",), 2, "no published table is called"),
        (("bi_health__account_360; drop table x",), 2, "no published table is called"),
        (("../../etc/passwd",), 2, "no published table is called"),
        ((), 2, "say which table"),
        (("bi_health__account_360", "--format", "xlsx"), 2, ""),
    ],
)
def test_what_is_not_published_is_refused(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = settings.published.read_bytes()
    result = call(settings, "export", *arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.split())
    assert settings.published.read_bytes() == before
    assert not list(tmp_path.glob("*.csv"))


def test_without_a_publication_it_says_so(tmp_path: Path) -> None:
    settings = make_project(tmp_path / "project")
    result = call(settings, "export", "--list")
    assert result.exit_code == 1
    assert "nothing is published" in result.stderr


def test_a_failure_leaves_the_earlier_file(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("earlier", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(export, "_write_csv", full)
    result = call(settings, "export", "bi_health__account_360", "--to", str(path))
    assert result.exit_code == 1
    assert "no space left" in result.stderr
    assert path.read_text(encoding="utf-8") == "earlier"
    assert not list(tmp_path.glob(".*tmp"))


def test_the_published_copy_is_no_target(settings: Settings) -> None:
    result = call(settings, "export", "bi_health__account_360", "--to", str(settings.published))
    assert result.exit_code == 2
    assert "is the published copy itself" in result.stderr


@given(st.text())
def test_no_text_cell_begins_like_a_formula(text: str) -> None:
    cell = export.safe_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == text or cell == text


@pytest.mark.parametrize("value", [-6.5, 3, 0, -1, 1e-9, float("inf")])
def test_numbers_are_not_touched(value: float) -> None:
    assert export.safe_cell(value) == value
