"""Names that try to run, to overflow or to turn the page around are shown as text in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import duckdb
import pytest
from served import SHOTS, Server, serve
from test_dashboard_portfolio import HOSTILE

RUN = "window.ran = true"
NAMES = (
    *HOSTILE,
    f"<svg onload='{RUN}'>",
    f"<img src=x onerror='{RUN}'>",
    f'"><script>{RUN}</script>',
    f"[click](javascript:{RUN})",
)
PAGES = ("", "account", "actions", "what-if", "data-quality", "prediction")


@pytest.fixture(scope="module")
def hostile(demo_home, tmp_path_factory) -> Iterator[Server]:
    """A copy in which every text that people or systems typed is hostile."""
    home = tmp_path_factory.mktemp("hostile")
    shutil.copyfile(demo_home / "published.duckdb", home / "published.duckdb")
    with duckdb.connect(str(home / "published.duckdb")) as copy:
        copy.execute("use customer_health")
        copy.execute("create temp table names (place bigint, name varchar)")
        copy.executemany("insert into names values (?, ?)", list(enumerate(NAMES)))
        for table, columns in (
            (
                "bi_health__account_360",
                ("account_name", "top_negative_driver", "band_note", "plan", "csm_id", "region"),
            ),
            ("act_health__actions", ("account_name", "action_text", "why_text", "owner_id")),
            ("sync_health__crm_accounts", ("next_action",)),
            ("fct_health__rejected_rows", ("source_table", "rejection_reason")),
        ):
            for column in columns:
                copy.execute(
                    f"""
                    update {table} set {column} = names.name from names
                    where abs(hash({table}.rowid)) % {len(NAMES)} = names.place
                    """
                )
        copy.execute(f"update fct_health__metric_scores set metric_label = $${NAMES[-2]}$$")
    yield from serve(home, tmp_path_factory.mktemp("hostile-server"))


@pytest.mark.parametrize("path", PAGES)
def test_hostile_names_stay_text(hostile, browser, path) -> None:
    page = browser.new_page(viewport={"width": 1366, "height": 900})
    asked: list[str] = []
    dialogs: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def refuse(dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    query = ""
    if path == "account":
        with duckdb.connect(str(hostile.home / "published.duckdb"), read_only=True) as copy:
            query = copy.execute(
                "select '?account=' || account_id from customer_health.act_health__actions "
                "where is_open order by 1 limit 1"
            ).fetchall()[0][0]
    page.goto(f"{hostile.url}/{path}{query}")
    page.locator(".ch-header").wait_for(timeout=30_000)
    page.wait_for_timeout(300)
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp][data-test-script-state=notRunning]')"
    )
    assert page.locator('[data-testid="stException"]').count() == 0
    assert not page.evaluate("Boolean(window.ran)")
    assert not dialogs
    assert not [url for url in asked if not url.startswith((hostile.url, "data:", "blob:"))]
    assert page.locator("main img[src='x'], main svg[onload]").count() == 0
    assert page.locator("a[href^='javascript:']").count() == 0
    if path == "":
        shown = page.inner_text('[data-testid="stMain"]')
        assert "<" in shown
        assert "\u202e" not in shown
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS / f"hostile-{path or 'portfolio'}.png"))
    page.close()
