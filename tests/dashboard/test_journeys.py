"""The five journeys for which people open the app, in a real browser, with pictures to look at."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import duckdb
import pytest
from axe_playwright_python.sync_playwright import Axe
from served import SHOTS, Server

PAGES = ("", "account", "actions", "prediction", "what-if", "data-quality")
DESKTOP = {"width": 1366, "height": 900}
PHONE = {"width": 390, "height": 844}
_GRAVE = ("serious", "critical")
_DRAWN = """
() => document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"]')
  && !document.querySelector('[data-stale="true"]')
"""


@pytest.fixture
def page(browser, app: Server) -> Iterator:
    """A window that may ask the server and nobody else."""
    opened = browser.new_page(viewport=DESKTOP)
    asked: list[str] = []
    failed: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: failed.append(str(error)))
    yield opened
    opened.close()
    others = [url for url in asked if not url.startswith((app.url, "data:", "blob:"))]
    assert not [url for url in others if not url.startswith(app.url.replace("http", "ws"))]
    assert not failed
    assert app.asked_hosts() == ""


def go(page, url: str) -> None:
    """Open an address and wait until the page is drawn."""
    page.goto(url)
    page.locator(".ch-header").wait_for(timeout=30_000)
    drawn(page)


def drawn(page) -> None:
    """Wait until nothing is being drawn; a page of ours never shows an exception."""
    page.wait_for_timeout(300)
    page.wait_for_function(_DRAWN, timeout=30_000)
    assert page.locator('[data-testid="stException"]').count() == 0


def shoot(page, name: str) -> None:
    """Keep a picture of the whole page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": before["width"], "height": min(max(height, 900), 5000)})
    page.wait_for_timeout(500)
    page.screenshot(path=str(SHOTS / f"{name}.png"))
    page.set_viewport_size(before)


def one(app: Server, sql: str):
    """A value of the readers' copy."""
    with duckdb.connect(str(app.home / "published.duckdb"), read_only=True) as connection:
        connection.execute("use customer_health")
        return connection.execute(sql).fetchall()[0]


def test_find_the_riskiest_account_understand_why_and_see_its_actions(page, app) -> None:
    account_id, name, score = one(
        app,
        """select account_id, account_name, health_score from bi_health__account_360
        where not is_frozen and band is not null and traffic_light in ('red', 'yellow')
        order by arr_amount * churn_probability desc nulls last, arr_amount desc nulls last,
            account_id limit 1""",
    )
    go(page, app.url)
    shoot(page, "1-portfolio")
    riskiest = page.get_by_role("region", name="Accounts that need attention").get_by_role("link")
    assert riskiest.first.inner_text() == " ".join(name.split())
    riskiest.first.click()
    page.wait_for_url(re.compile("/account"))
    page.locator(".ch-header").wait_for()
    drawn(page)
    assert f"account={account_id}" in page.url
    body = page.inner_text('[data-testid="stMain"]')
    assert name in body
    assert str(score) in body
    shoot(page, "2-account")
    action, why = one(
        app,
        f"""select action_text, why_text from act_health__actions
        where is_open and account_id = '{account_id}' order by queue_rank limit 1""",
    )
    assert " ".join(action.split()) in " ".join(body.split())
    assert " ".join(why.split())[:60] in " ".join(body.split())


def test_the_queue_of_a_csm(page, app) -> None:
    csm, count = one(
        app,
        """select owner_id, count(*) from act_health__actions
        where is_open and owner_role = 'csm' and owner_id is not null
        group by owner_id order by 2 desc, 1 limit 1""",
    )
    go(page, f"{app.url}/actions?csm_id={csm}")
    assert f"csm_id={csm}" in page.url
    tiles = page.locator(".ch-tiles").first.inner_text()
    assert f"{count:,}" in tiles
    shoot(page, "3-actions")


def test_change_a_weight_and_see_the_effect(page, app) -> None:
    go(page, f"{app.url}/what-if")
    before = page.inner_text('[data-testid="stMain"]')
    slider = page.get_by_role("slider").first
    slider.focus()
    for _ in range(10):
        slider.press("ArrowRight")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and page.inner_text('[data-testid="stMain"]') == before:
        page.wait_for_timeout(200)
    drawn(page)
    assert page.inner_text('[data-testid="stMain"]') != before
    shoot(page, "4-what-if")
    with page.expect_download() as started:
        page.get_by_role("button", name=re.compile("category_weights")).click()
    written = started.value.path().read_text(encoding="utf-8")
    assert written.startswith("scoring_version,scorecard_key,category_key,weight")


def test_does_the_score_predict(page, app) -> None:
    verdict = one(app, "select verdict from val_health__verdict order by 1 limit 1")[0]
    go(page, app.url)
    page.get_by_role("link", name="Does it predict?").click()
    page.wait_for_url(re.compile("/prediction"))
    page.locator(".ch-header").wait_for()
    drawn(page)
    body = page.inner_text('[data-testid="stMain"]')
    assert verdict.split(":")[0].lower() in body.lower()
    shoot(page, "5-prediction")


def test_what_the_data_are_worth(page, app) -> None:
    go(page, f"{app.url}/data-quality")
    publication = one(app, "select publication_id from fct_health__publications limit 1")[0]
    assert publication in page.inner_text('[data-testid="stMain"]')
    shoot(page, "6-data-quality")


@pytest.mark.parametrize("path", PAGES)
def test_nothing_grave_stands_in_the_way_of_anybody(page, app, path) -> None:
    """Axe finds nothing serious or critical, on a laptop and on a phone; nothing runs sideways."""
    account = one(
        app, "select account_id from fct_health__account_scores_current order by 1 limit 1"
    )[0]
    address = f"{app.url}/{path}" + (f"?account={account}" if path == "account" else "")
    for name, size in (("laptop", DESKTOP), ("phone", PHONE)):
        page.set_viewport_size(size)
        go(page, address)
        found = Axe().run(page).response["violations"]
        grave = [
            (each["id"], each["help"], [node["html"][:160] for node in each["nodes"][:3]])
            for each in found
            if each["impact"] in _GRAVE
        ]
        assert not grave, name
        wide = page.evaluate(
            "(() => { const main = document.querySelector('[data-testid=stMain]');"
            " return main.scrollWidth - main.clientWidth; })()"
        )
        assert wide <= 1, f"{name}: the page is {wide} px wider than the window"
        if name == "phone":
            shoot(page, f"phone-{path or 'portfolio'}")


def test_the_keyboard_reaches_the_first_account(page, app) -> None:
    go(page, app.url)
    for _ in range(60):
        page.keyboard.press("Tab")
        where = page.evaluate("document.activeElement.getAttribute('href') || ''")
        if where.startswith("account?account="):
            break
    else:
        raise AssertionError("sixty tabs reach no account")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/account\?account="))
