"""The definitions of docs/bi.md run as they are printed, and say what the dashboards say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dashboard_world import PROJECT, published_home, reading

from customer_health.dashboard import portfolio
from customer_health.dashboard.bands import read_bands
from customer_health.dashboard.portfolio import Filters

PAGE = (PROJECT / "docs" / "bi.md").read_text(encoding="utf-8")
# The sentence in bold before each block names it.
DEFINITIONS = dict(re.findall(r"\*\*([^*]+)\*\*(?:(?!```).)*?```sql\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


def ask(home: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a definition."""
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        connection.execute("use customer_health")
        cursor = connection.execute(DEFINITIONS[name])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_every_block_has_a_name() -> None:
    assert len(DEFINITIONS) == PAGE.count("```sql") == 8


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_definition_answers(home, name) -> None:
    assert ask(home, name)


def test_accounts_and_arr_by_band_are_those_of_the_portfolio(home) -> None:
    with reading(home) as reader:
        history = portfolio.read_history(reader, Filters())
        bands = read_bands(reader)
    today = max(row["as_of_date"] for row in history)
    expected = {
        row.band.key: (row.accounts, pytest.approx(row.arr))
        for row in portfolio.bands_now(history, bands, today, None)
    }
    assert {
        row["band"]: (row["account_count"], row["arr_amount"])
        for row in ask(home, "Accounts and ARR by band, now")
    } == expected


def test_means_are_those_of_the_portfolio(home) -> None:
    with reading(home) as reader:
        means = portfolio.means_over_time(portfolio.read_history(reader, Filters()))
    found = {
        row["as_of_date"]: row["mean_health_score"]
        for row in ask(home, "Mean score and its change")
    }
    assert found == {row["as_of_date"]: pytest.approx(row["mean_score"]) for row in means}


def test_moves_are_those_of_the_portfolio(home) -> None:
    with reading(home) as reader:
        history = portfolio.read_history(reader, Filters())
        today = max(row["as_of_date"] for row in history)
        before = portfolio.nearest_before(history, today, 28)
        assert before is not None
        moves = portfolio.read_migrations(reader, Filters(), before)
    expected = {
        (row["earlier_band"], row["band"]): row["account_count"]
        for row in moves
        if row["earlier_band"]
    }
    assert {
        (row["band_28_days_ago"], row["band"]): row["account_count"]
        for row in ask(home, "Moves between bands in four weeks")
    } == expected


def test_the_accounts_at_risk_are_those_of_the_portfolio(home) -> None:
    with reading(home) as reader:
        expected = portfolio.read_attention(reader, Filters(), rows=50)
    found = ask(home, "ARR at risk")
    assert {row["account_id"] for row in found} == {row["account_id"] for row in expected}


def test_points_add_up_to_the_score(home) -> None:
    points: dict[str, float] = {}
    for row in ask(home, "Points of a score, which add up to it"):
        points[row["account_id"]] = points.get(row["account_id"], 0.0) + (row["points"] or 0.0)
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        scores = connection.execute(
            "select account_id, health_score_exact "
            "from customer_health.fct_health__account_scores_current "
            "where health_score_exact is not null"
        ).fetchall()
    assert scores
    for account_id, exact in scores:
        assert points[account_id] == pytest.approx(exact, abs=1e-9)
