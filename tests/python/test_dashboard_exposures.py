"""What a page reads stands in its exposure, so that dbt's lineage reaches the dashboards."""

from __future__ import annotations

import re
from pathlib import Path

import dashboard_world
import pytest
import yaml
from dashboard_world import PROJECT, published_home, reading

from customer_health.warehouses.duckdb import DuckDBReader

PAGES = {
    "portfolio": "customer_health_portfolio",
    "account": "customer_health_account",
    "actions": "customer_health_actions",
    "prediction": "customer_health_validation_report",
    "what_if": "customer_health_what_if",
    "data_quality": "customer_health_data_quality",
}
# Read only where an account has one.
SOMETIMES = {"account": {"fct_health__data_incidents"}}
_MART = re.compile(r"\{marts\}\.(\w+)|\bcustomer_health\.(\w+_health__\w+)")


def declared(exposure: str) -> set[str]:
    """The marts of an exposure."""
    path = PROJECT / "models" / "marts" / "exposures.yml"
    for each in yaml.safe_load(path.read_text(encoding="utf-8"))["exposures"]:
        if each["name"] == exposure:
            return {re.findall(r"'(\w+)'", reference)[0] for reference in each["depends_on"]}
    raise AssertionError(exposure)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


@pytest.mark.parametrize("page", PAGES)
def test_an_exposure_names_exactly_what_its_page_reads(page, home, monkeypatch) -> None:
    asked: set[str] = set()
    answer = DuckDBReader.rows

    def rows(self, sql, values=()):
        asked.update(name for found in _MART.findall(sql) for name in found if name)
        return answer(self, sql, values)

    monkeypatch.setattr(DuckDBReader, "rows", rows)
    with reading(home) as reader:
        account = reader.rows(
            "select account_id from {marts}.act_health__actions where is_open order by 1 limit 1"
        )[0][0]
    asked.clear()
    dashboard_world.forget_answers()
    dashboard_world.page(page, home, {"account": account} if page == "account" else {})
    dashboard_world.forget_answers()
    if page == "portfolio":
        # filters on what the mart of the portfolio does not hold read the scores
        dashboard_world.page(page, home, {"region": "emea"})
    if page == "account":
        dashboard_world.page(page, home)
    snapshots = {name for name in asked if name.startswith("snap_health__")}
    sometimes = SOMETIMES.get(page, set())
    assert asked - snapshots - sometimes == declared(PAGES[page]) - sometimes
