"""The documentation site as people open it: files in a real Chromium, without a network.

Pictures go to DASHBOARD_SHOTS, to be looked at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from dashboard_world import PROJECT
from example_project import module
from served import SHOTS

SIZES = {"wide": (1366, 900), "narrow": (390, 844)}
build_site = module("build_site", PROJECT / "docs" / "build_site.py")


@pytest.fixture(scope="module")
def dbt_target(demo_home, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dbt-docs")
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "--quiet", "docs", "generate", "--static",
         "--vars", '{customer_health__as_of_date: "2026-06-30"}'],
        cwd=PROJECT,
        env={**os.environ, "CUSTOMER_HEALTH_HOME": str(demo_home), "DBT_TARGET_PATH": str(folder),
             "DBT_LOG_PATH": str(folder / "logs")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def site(dbt_target, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    build_site.build(dbt_target, folder)
    return folder


@pytest.fixture
def page(browser, request) -> Iterator:
    """A page that has no network, and must not even try; nor may a script of it fail."""
    width, height = SIZES[getattr(request, "param", "wide")]
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    asked: list[str] = []
    failed: list[str] = []
    opened = context.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: failed.append(str(error)))
    yield opened
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
    assert failed == []


def go(page, site: Path, path: str) -> None:
    page.goto(f"file://{site / path}")
    page.wait_for_selector("h1")


def shoot(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS / f"docs-{name}.png"))


def heading(page) -> str:
    return page.locator("h1").first.inner_text().replace("¶", "").strip()


def test_the_menu_leads_to_pages_and_tables(page, site) -> None:
    go(page, site, "index.html")
    assert heading(page) == "customer_health"
    menu = page.locator(".md-sidebar--primary")
    menu.locator("label.md-nav__link", has_text=re.compile(r"^\s*Score\s*$")).click()
    menu.get_by_role("link", name="The scoring model").click()
    page.wait_for_url("**/docs/scoring-model.html")
    assert heading(page) == "The scoring model"
    menu.get_by_role("link", name="Tables", exact=True).click()
    page.wait_for_url("**/tables/index.html")
    shoot(page, "tables")
    menu.locator("label.md-nav__link", has_text=re.compile(r"^\s*Dashboards\s*$")).click()
    menu.get_by_role("link", name="bi_health__portfolio_daily").click()
    page.wait_for_url("**/tables/bi_health__portfolio_daily.html")
    assert heading(page) == "bi_health__portfolio_daily"
    menu.get_by_role("link", name="Lineage (dbt docs)").click()
    page.wait_for_url(re.compile(r"/dbt/index\.html"))  # then comes a hash with a path
    page.get_by_role("link", name="← customer_health").click()
    page.wait_for_url("**/index.html")


def test_search_finds_a_page_and_opens_it(page, site) -> None:
    go(page, site, "index.html")
    page.click(".md-search__input")
    page.locator(".md-search__input").press_sequentially("renewal_grace_days", delay=50)
    page.wait_for_selector(".md-search-result__item")
    shoot(page, "search")
    page.locator(".md-search-result__link", has_text="Decisions").first.click()
    page.wait_for_url("**/docs/decisions.html*")
    assert heading(page) == "Decisions"


def test_from_a_mention_to_the_columns_and_the_lineage(page, site) -> None:
    go(page, site, "docs/bi.html")
    page.get_by_role("link", name="bi_health__portfolio_daily", exact=True).first.click()
    page.wait_for_url("**/tables/bi_health__portfolio_daily.html")
    assert page.get_by_role("cell", name="moved_up_account_count").is_visible()
    shoot(page, "table")
    page.get_by_role("link", name="SQL, tests and lineage in dbt docs").click()
    page.wait_for_selector("text=moved_up_account_count")
    assert page.locator("h1", has_text="bi_health__portfolio_daily").first.is_visible()
    shoot(page, "dbt")
    page.click(".launcher-btn a")
    # The graph is drawn on a canvas: some of its points have to have a colour.
    page.wait_for_function(
        """() => [...document.querySelectorAll('canvas')].some(canvas =>
            canvas.width && canvas.getContext('2d')
                .getImageData(0, 0, canvas.width, canvas.height).data.some(value => value))"""
    )
    shoot(page, "lineage")


@pytest.mark.parametrize("page", SIZES, indirect=True)
def test_pages_fit_and_show_their_pictures(page, site) -> None:
    for path in ("index.html", "docs/dashboards.html", "docs/validation.html",
                 "docs/semantic-layer.html", "docs/reliability.html", "examples/index.html",
                 "tables/index.html", "tables/bi_health__account_360.html"):  # fmt: skip
        go(page, site, path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        pictures = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert all(pictures), path
        if path == "docs/dashboards.html":
            assert len(pictures) >= 6
        width = page.viewport_size["width"]
        shoot(page, f"{path.removesuffix('.html').replace('/', '-')}-{width}")


def test_every_link_leads_somewhere(site, dbt_target) -> None:
    manifest = json.loads((dbt_target / "manifest.json").read_text(encoding="utf-8"))
    texts = {
        file: file.read_text(encoding="utf-8")
        for file in site.glob("**/*.html")
        if file.parent.name != "dbt" and file.name != "404.html"
    }
    assert len(texts) > 70
    broken = []
    counted = 0
    for file, text in texts.items():
        for tag, link in re.findall(r'<(\w+)[^>]*? (?:href|src)="?([^"\s>]+)', text):
            address, _, anchor = unquote(unescape(link)).partition("#")
            if "://" in address or address.startswith(("mailto:", "javascript:")):
                assert tag == "a", f"{file.name} loads {link}"
                continue
            counted += 1
            target = (file.parent / address).resolve() if address else file
            if not target.exists():
                broken.append(f"{file.name}: {link}")
            elif anchor.startswith("!/") and "overview" not in anchor:
                unique_id = anchor.split("/")[-1]
                if unique_id not in manifest["nodes"]:
                    broken.append(f"{file.name}: {link}")
            elif (
                anchor
                and target in texts
                and not re.search(rf'id="?{re.escape(anchor)}["\s>]', texts[target])
            ):
                broken.append(f"{file.name}: {link}")
    assert counted > 5000
    assert broken == []


def test_every_public_table_has_a_page_with_every_column(site) -> None:
    declared = module(
        "update_current_views", PROJECT / "docs" / "update_current_views.py"
    ).declared()
    for path in (PROJECT / "models" / "marts").glob("**/*.sql"):
        text = (site / "tables" / f"{path.stem}.html").read_text(encoding="utf-8")
        cells = set(re.findall(r"<td><code>(\w+)</code></td>", text))
        assert {column["name"] for column in declared[path.stem]["columns"]} == cells


@pytest.mark.parametrize(
    ("link", "says"),
    [("[x](nowhere.md)", "nowhere.md"), ("[x](bi.md#no-such-part)", "no-such-part")],
)
def test_a_broken_link_ends_the_build(site, tmp_path, link, says) -> None:
    source = site.with_name("site-source")
    written = source / "docs" / "actions.md"
    before = written.read_text(encoding="utf-8")
    try:
        written.write_text(f"{before}\n{link}\n", encoding="utf-8")
        with pytest.raises(build_site.SiteError, match=says):
            build_site.run_mkdocs(source.with_suffix(".yml"), tmp_path / "site")
    finally:
        written.write_text(before, encoding="utf-8")


def test_without_dbts_files_the_builder_says_what_to_do(tmp_path, capsys) -> None:
    assert build_site.main(["--dbt-target", str(tmp_path), "--out", str(tmp_path / "site")]) == 1
    assert "run `dbt docs generate --static` first" in capsys.readouterr().err
