"""The page Does it predict? tells what `validate` tells, and what followed actions."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dashboard_world
import duckdb
import pytest
from dashboard_world import PROJECT, cells, published_home, reading, rows, text_of
from typer.testing import CliRunner

from customer_health import cli
from customer_health.dashboard import prediction
from customer_health.settings import Settings
from customer_health.validation.figures import figures_of, open_marts, read_figures, read_limits

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202e\u05d0\u05d1 \U0001f995" + (
    "x" * 300
)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


@pytest.fixture(scope="module")
def page(home: Path):
    """The page as it is for the demo."""
    return dashboard_world.page("prediction", home)


@pytest.fixture(scope="module")
def validated(home: Path, tmp_path_factory) -> dict[str, Any]:
    """What `validate` says of the same publication."""
    file = tmp_path_factory.mktemp("validated") / "page.html"
    result = CliRunner().invoke(
        cli.app,
        ["--project-dir", str(PROJECT), "--home", str(home), "validate", "--no-rebuild", "--json",
         "--html", str(file)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """A home of the test's own, whose publication it may change."""
    file = tmp_path / "published.duckdb"
    shutil.copyfile(home / "published.duckdb", file)
    return tmp_path


def change(home: Path, *statements: str) -> None:
    """Change a publication behind everybody's back."""
    with duckdb.connect(str(home / "published.duckdb")) as connection:
        connection.execute("use customer_health")
        for statement in statements:
            connection.execute(statement)


def headers(page) -> list[str]:
    return [each.value for each in page.header]


# -- the same as validate --------------------------------------------------------------------------
def test_the_verdict_is_that_of_validate(page, validated: dict[str, Any]) -> None:
    box = re.search(r'<div class="ch-verdict.*?</div></div>', text_of(page), re.DOTALL)
    assert box
    told = unescape(re.sub(r"<[^>]+>", " ", box.group()))
    verdict = validated["verdict"]
    for part in (verdict["words"], verdict["plain"], verdict["sentence"]):
        assert part.lower() in told.lower()
    assert validated["publication_id"] in text_of(page)


def test_every_section_and_limit_of_validate_is_there(page, validated: dict[str, Any]) -> None:
    assert headers(page)[0] == "Retention by band"
    for title in (
        *("Does it rank?", "Warnings in time", "Probabilities", "Which inputs earn their weight"),
        *("By segment and plan", "The base over time", "Stability"),
        *("Did acting help?", "Were the playbooks right?", "Do people know more than the score?"),
        *("Leak tests: did the score look ahead?", "What the figures do not say"),
    ):
        assert title in headers(page)
    text = unescape(text_of(page))
    for line in validated["not_said"]:
        if not line.startswith("Leak test"):
            assert line in text


def test_leak_tests_on_marts_ran_and_the_others_say_what_runs_them(
    page, validated: dict[str, Any]
) -> None:
    found = cells(page, "Leak tests")
    assert [row[0] for row in found[:2]] == ["? not run", "? not run"]
    assert all("customer-health validate" in row[2] for row in found[:2])
    marks = {"passed": "✓ passed", "failed": "✕ failed", "skipped": "? not run"}
    assert [(row[0], row[2]) for row in found[2:]] == [
        (marks[test["status"]], test["finding"]) for test in validated["leak_tests"][2:]
    ]


def test_a_reader_gives_the_figures_of_a_connection(home: Path) -> None:
    """On DuckDB both ways are open; other engines have readers only."""
    settings = Settings.resolve(PROJECT, home)
    with open_marts(settings) as connection:
        by_connection = read_figures(connection, settings)
    with reading(home) as reader:
        by_reader = figures_of(reader, read_limits(settings), settings.published)
    assert by_reader == by_connection
    assert by_reader.parts["portfolio"]
    assert {row["as_of_date"].isoweekday() for row in by_reader.parts["portfolio"]} == {7}


# -- numbers against SQL ---------------------------------------------------------------------------
def test_retention_by_band_is_that_of_the_mart(page, home: Path) -> None:
    expected = rows(
        home,
        """
        select observation_count, outcome_count, 1 - rate
        from val_health__band_outcomes
        where is_headline and outcome = 'churn' and slice_value = 'out_of_time'
            and scoring_version = (select any_value(scoring_version) from val_health__verdict)
        order by band_rank
        """,
    )
    found = cells(page, "Retention by band: Band")
    assert [row[1:4] for row in found] == [
        [f"{count:,}", f"{churned:,}", f"{stayed:.1%}"] for count, churned, stayed in expected
    ]


def test_what_followed_actions_is_that_of_the_mart(page, home: Path) -> None:
    expected = rows(
        home,
        "select action_mean, compared_mean, account_count, reading "
        "from val_health__action_outcomes where playbook_key = '*' "
        "order by outcome, compared_with desc",
    )
    found = cells(page, "What followed actions that were done")
    assert [(row[2].rstrip("%"), row[3].rstrip("%"), row[6], row[7]) for row in found] == [
        (f"{after:.1f}", f"{without:.1f}", f"{count:,}", reading)
        for after, without, count, reading in expected
    ]
    assert "Observational: nobody drew lots" in text_of(page)


def test_what_followed_playbooks_is_that_of_the_mart(page, home: Path) -> None:
    expected = rows(
        home,
        "select firing_count, done_count, judged_count, churn_rate, base_churn_rate "
        "from val_health__playbook_outcomes order by firing_count desc, playbook_key",
    )
    found = cells(page, "What followed the firing of playbooks")
    assert [(row[1], row[2], row[3], row[4], row[6]) for row in found] == [
        (
            f"{fired:,}",
            f"{done:,}",
            f"{judged:,}",
            "–" if rate is None else f"{rate:.1%}",
            "–" if base is None else f"{base:.1%}",
        )
        for fired, done, judged, rate, base in expected
    ]


def test_false_greens_link_to_their_accounts(page, home: Path) -> None:
    wanted = rows(
        home,
        "select account_id from val_health__churn_warnings where is_false_green "
        "order by arr_amount desc nulls last, account_id",
    )
    table = text_of(page).split('aria-label="Warnings in time: False green"')[1]
    linked = re.findall(r'href="account\?account=([^"]+)"', table.split("</table>")[0])
    assert linked == [account_id for (account_id,) in wanted]


# -- pictures --------------------------------------------------------------------------------------
def test_every_picture_is_an_image_with_words_that_loads_nothing(page) -> None:
    images = re.findall(
        r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]+)">', text_of(page)
    )
    assert len(images) == text_of(page).count("<img") >= 5
    for told, encoded in images:
        assert len(told) > 5
        svg = base64.b64decode(encoded).decode()
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        # colours of light and dark pages: an image cannot take those around it
        assert "prefers-color-scheme:dark" in svg
        assert not {each.tag.rpartition("}")[2] for each in root.iter()} & {"script", "image", "a"}
        assert all(
            value.startswith("#")
            for each in root.iter()
            for name, value in each.attrib.items()
            if name.endswith("href")
        )


# -- empty states, damage and hostile text ---------------------------------------------------------
def test_without_outcomes_it_says_what_is_awaited(copy: Path) -> None:
    tables = rows(
        copy, "select table_name from duckdb_tables() where table_name like 'val_health__%'"
    )
    change(copy, *(f"delete from {table}" for (table,) in tables))
    page = dashboard_world.page("prediction", copy)
    text = text_of(page)
    assert "Not enough outcomes" in text
    assert "Too few customers have left for a verdict: 30 are needed, 0 have" in text
    told = [each.value for each in page.info]
    assert any("Outcomes appear here once actions come back as done" in each for each in told)
    assert any("No playbook has fired yet" in each for each in told)
    assert any("No override can be judged yet" in each for each in told)
    assert not re.search(r"\b(nan|NaN|None)\b", re.sub(r"base64,[^\"]+", "", text))


def test_marts_of_an_earlier_version_are_one_line(copy: Path) -> None:
    change(copy, "drop table val_health__verdict")
    page = dashboard_world.page("prediction", copy)
    assert [each.value for each in page.error] == [
        "there is no mart val_health__verdict: this was built by an earlier version of the "
        "project; run `customer-health run`"
    ]


def test_outcome_marts_that_are_missing_are_empty(copy: Path) -> None:
    change(copy, "drop table val_health__override_outcomes")
    with reading(copy) as reader:
        assert prediction.read_override_outcomes(reader) == []
        assert prediction.read_action_outcomes(reader)


def test_hostile_text_stays_text(copy: Path) -> None:
    quoted = "'" + HOSTILE.replace("'", "''") + "'"
    change(
        copy,
        f"update dim_health__accounts set account_name = {quoted}",
        f"update val_health__metrics set metric_key = {quoted} where weight = "
        "(select max(weight) from val_health__metrics)",
        f"update val_health__discrimination set slice_value = {quoted} "
        "where slice_kind = 'segment'",
        f"update val_health__playbook_outcomes set playbook_key = {quoted}",
        f"insert into val_health__override_outcomes by name select {quoted} as author_id, "
        "'raised' as direction, 7 as judged_count, 2 as churned_count, 0.28 as churn_rate, "
        "0.5 as band_churn_rate, 5 as hit_count, 0.71 as hit_rate, 0.3 as hit_rate_low, "
        "0.9 as hit_rate_high",
    )
    page = dashboard_world.page("prediction", copy)
    text = text_of(page)
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;alert(1)" in text
    for kind in ("markdown", "caption", "header", "info"):
        assert not any("alert(" in str(each.value) for each in getattr(page, kind))
    for encoded in re.findall(r"base64,([^\"]+)", text):
        root = ElementTree.fromstring(base64.b64decode(encoded))
        assert not [each for each in root.iter() if each.tag.endswith("script")]
    (override,) = cells(page, "What followed overrides")
    assert override[1:] == ["better", "7", "71%", "30–90%", "28.0%", "50.0%"]
