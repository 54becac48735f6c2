"""`customer-health report`: two files that need only a browser and say what the app says."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dashboard_world
import duckdb
import pytest
from dashboard_world import PROJECT, cells, published_home, rows, text_of
from typer.testing import CliRunner, Result

from customer_health import cli
from customer_health.dashboard import html
from customer_health.dashboard import report as static
from customer_health.dashboard.source import Source
from customer_health.settings import Settings
from customer_health.validation.pictures import visible
from customer_health.validation.report import money

HOSTILE = (
    "<script>document.title='taken'</script>",
    "<img src=http://evil.invalid/x onerror=document.title='taken'>",
    "</td></table><style>@import 'http://evil.invalid/a.css'</style>",
    "شركة \u202e الأمل",
    "🦖 {{ 7 * 7 }} " + "x" * 300,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


def call(home: Path, *arguments: str) -> Result:
    where = ["--project-dir", str(PROJECT), "--home", str(home)]
    return CliRunner().invoke(cli.app, [*where, "report", *arguments])


@pytest.fixture(scope="module")
def written(home: Path, tmp_path_factory) -> dict[str, Any]:
    """The report of the demo, and what the command says about it."""
    folder = tmp_path_factory.mktemp("written") / "new" / "folder"
    result = call(home, "--out", str(folder), "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def hostile(home: Path, tmp_path_factory) -> Path:
    """Folder of a report whose accounts have such names."""
    copied = tmp_path_factory.mktemp("hostile")
    shutil.copyfile(home / "published.duckdb", copied / "published.duckdb")
    with duckdb.connect(str(copied / "published.duckdb")) as connection:
        connection.execute("use customer_health")
        for number, name in enumerate(HOSTILE):
            for table in ("bi_health__account_360", "dim_health__accounts"):
                connection.execute(
                    f"update {table} set account_name = ? "
                    f"where hash(account_id) % {len(HOSTILE)} = {number}",
                    [name],
                )
        connection.execute(
            "update bi_health__account_360 set csm_id = ?, top_negative_driver = ?",
            [HOSTILE[0], HOSTILE[1]],
        )
    result = call(copied)
    assert result.exit_code == 0, result.output
    return copied / "report"


# -- what it says ----------------------------------------------------------------------------------
def test_tiles_and_bands_are_those_of_the_scores(written: dict[str, Any], home: Path) -> None:
    text = Path(written["portfolio"]).read_text()
    by_band = {
        label: (accounts, amount)
        for label, accounts, amount in rows(
            home,
            "select band_label, count(*), sum(arr_amount) from bi_health__account_360 "
            "where as_of_date = (select max(as_of_date) from bi_health__account_360) "
            "group by band_label",
        )
    }
    accounts = sum(count for count, _ in by_band.values())
    tiles = dict(re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)(?:<small>|</dd>)", text))
    assert tiles["Accounts"] == f"{accounts:,}"
    assert tiles["ARR"] == money(sum(amount for _, amount in by_band.values()))
    found = {row[0].split(" ", 1)[1]: row for row in cells(text, "Accounts and ARR by band")}
    assert found.keys() == by_band.keys()
    for label, (count, amount) in by_band.items():
        assert found[label][1] == f"{count:,}"
        assert found[label][2] == f"{count / accounts:.0%}"
        assert found[label][4] == money(amount)


def test_the_accounts_that_need_attention_are_those_of_the_scores(
    written: dict[str, Any], home: Path
) -> None:
    text = Path(written["portfolio"]).read_text()
    expected = rows(
        home,
        """
        select coalesce(account_name, account_id), health_score
        from bi_health__account_360
        where as_of_date = (select max(as_of_date) from bi_health__account_360)
            and traffic_light in ('red', 'yellow') and not is_frozen
        order by arr_amount * churn_probability desc nulls last, arr_amount desc nulls last,
            account_id
        """,
    )
    found = cells(text, "Accounts that need attention")
    assert len(found) == min(len(expected), static.ATTENTION_ROWS)
    assert [(row[0], row[2]) for row in found] == [
        (unescape(re.sub(r"<[^>]+>", "", html.name(name))), str(score))
        for name, score in expected[: static.ATTENTION_ROWS]
    ]
    assert f"{len(expected):,} accounts with a red or yellow light" in text


def test_the_report_has_the_tables_of_the_page(written: dict[str, Any], home: Path) -> None:
    text = Path(written["portfolio"]).read_text()
    page = text_of(dashboard_world.page("portfolio", home))
    for caption in ("Accounts and ARR by band", "Accounts by band before and band today"):
        assert cells(text, caption) == cells(page, caption)
    on_page = cells(page, "Accounts that need attention")
    assert on_page
    assert cells(text, "Accounts that need attention")[: len(on_page)] == on_page


def test_it_names_its_publication_and_checks(written: dict[str, Any], home: Path) -> None:
    ((publication_id, passed, run),) = rows(
        home,
        "select publication_id, checks_passed, checks_run from fct_health__publications "
        "order by published_at desc limit 1",
    )
    assert written["publication_id"] == publication_id
    text = Path(written["portfolio"]).read_text()
    assert publication_id in text
    assert f"{passed:,} of {run:,} passed" in text
    assert publication_id in Path(written["validation"]).read_text()


def test_checks_that_warned_are_listed(home: Path, tmp_path: Path) -> None:
    shutil.copyfile(home / "published.duckdb", tmp_path / "published.duckdb")
    with duckdb.connect(str(tmp_path / "published.duckdb")) as connection:
        connection.execute("use customer_health")
        connection.execute(
            "update fct_health__publication_checks set is_passed = false, observed = '<b>9</b>' "
            "where rowid = (select min(rowid) from fct_health__publication_checks)"
        )
    with Source(Settings.resolve(PROJECT, tmp_path)).pinned() as pinned:
        text = static.portfolio_page(pinned)
    assert "1 check warned" in text
    ((_, _, _, observed, _),) = cells(text, "Checks that warned")
    assert observed == "<b>9</b>"
    assert "<b>9" not in text


def test_the_verdict_is_that_of_validate(
    written: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        cli.app,
        ["--project-dir", str(PROJECT), "--home", str(home), "validate", "--no-rebuild", "--json",
         "--html", str(tmp_path / "page.html")],
    )  # fmt: skip
    verdict = json.loads(result.stdout)["verdict"]
    assert written["verdict"] == verdict["key"]
    text = unescape(Path(written["validation"]).read_text())
    assert verdict["plain"] in text
    assert verdict["sentence"] in text


# -- the command -----------------------------------------------------------------------------------
def test_one_line_a_file_says_what_to_do(home: Path, tmp_path: Path) -> None:
    result = call(home, "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert [line.split(" (")[0] for line in result.stdout.splitlines()] == [
        str(tmp_path / "portfolio.html"),
        str(tmp_path / "validation.html"),
    ]
    assert all(
        line.endswith("mail it, or open it in a browser") for line in result.stdout.splitlines()
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["portfolio.html", "validation.html"]


def test_refusals_are_one_line(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = call(tmp_path)
    assert (nothing.exit_code, nothing.stderr.count("\n")) == (1, 1)
    assert "nothing is published yet" in nothing.stderr
    file = tmp_path / "file"
    file.touch()
    wrong = call(home, "--out", str(file))
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
    assert "is a file; name a folder" in wrong.stderr
    monkeypatch.setattr(static.importlib.util, "find_spec", lambda name: None)
    without = call(home, "--out", str(tmp_path / "never"), "--json")
    assert without.exit_code == 1
    assert "pip install 'customer-health[dashboard]'" in json.loads(without.stdout)["error"]
    assert not (tmp_path / "never").exists()


# -- in a browser, offline -------------------------------------------------------------------------
class Tags(HTMLParser):
    """Elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.style = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.style += data


def test_the_files_are_whole_without_anything_else(hostile: Path) -> None:
    for file in hostile.iterdir():
        text = file.read_text()
        found = Tags(text)
        assert "default-src 'none'" in text
        assert found.tags >= {"svg", "table", "h1", "style"}
        assert not found.tags & {"script", "img", "image", "iframe", "link", "a", "object", "embed"}
        for name, value in found.attributes:
            assert name not in ("src", "srcset", "action", "data") and not name.startswith("on")
            if name.endswith("href"):
                assert str(value).startswith("#")
            if name != "title":
                assert not re.search(r"url\((?!#)", str(value))
        assert not re.search(r"@import|url\(", found.style)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium that is there; none is fetched."""
    sync_api = pytest.importorskip("playwright.sync_api")
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on PATH: install Debian's chromium, or name one in CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.mark.parametrize("name", ["portfolio.html", "validation.html"])
@pytest.mark.parametrize(("width", "scheme"), [(1366, "light"), (390, "dark")])
def test_a_browser_opens_it_offline(
    hostile: Path, browser: Any, name: str, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    asked, said = [], []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto((hostile / name).as_uri())
    assert asked == [(hostile / name).as_uri()]
    assert said == []
    assert page.title() != "taken"
    assert page.evaluate("document.querySelectorAll('script, img, link, iframe, a').length") == 0
    assert page.evaluate("document.querySelectorAll('svg').length") >= 3
    # a phone scrolls tables, never the page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    if name == "portfolio.html":
        shown = page.evaluate(
            "[...document.querySelectorAll('td:first-child bdi')]"
            ".map(each => each.title || each.textContent)"
        )
        assert len(shown) == len(page.query_selector_all("td:first-child bdi")) > 5
        names = {" ".join(visible(each).split()) for each in HOSTILE}
        assert set(shown) <= names
        assert len(set(shown)) > 2
    context.close()
