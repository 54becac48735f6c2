"""A publication that changes under the running app is picked up; two never stand side by side."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from served import Server, serve

MARTS = "customer_health"
SWAPS = 4
# Tells every moment at which the page shows other versions than before, also over a reload.
_WATCH = """
() => {
  let before = null;
  const look = () => {
    if (!document.body) return;
    const marks = [...new Set(document.body.innerText.match(/~V[0-9]+~/g) || [])].sort();
    const told = marks.join(' ');
    if (told !== before) { before = told; window.tell(told); }
  };
  new MutationObserver(look).observe(document,
    {childList: true, subtree: true, characterData: true});
}
"""


def publish(source: Path, target: Path, number: int) -> None:
    """Replace the readers' copy by one in which everything named carries the number."""
    beside = target.with_name("next.duckdb")
    shutil.copyfile(source, beside)
    accounts = f"update {MARTS}.bi_health__account_360 set"
    with duckdb.connect(str(beside)) as copy:
        mark = f"~V{number}~"
        copy.execute(f"update {MARTS}.fct_health__publications set scoring_version = '{mark}'")
        copy.execute(f"{accounts} account_name = '{mark} name'")
        copy.execute(f"{accounts} top_negative_driver = '{mark} why'")
        copy.execute(f"{accounts} csm_id = '{mark}'")
    os.replace(beside, target)


@pytest.fixture
def swapped(demo_home, tmp_path) -> Iterator[Server]:
    home = tmp_path / "home"
    home.mkdir()
    publish(demo_home / "published.duckdb", home / "published.duckdb", 0)
    yield from serve(home, tmp_path)


def test_a_new_publication_is_picked_up_and_never_mixed(swapped, demo_home, browser) -> None:
    told: list[str] = []
    page = browser.new_page()

    def tell(marks: str) -> None:
        told.append(marks)

    page.expose_function("tell", tell)
    page.add_init_script(f"({_WATCH})()")
    page.goto(f"{swapped.url}/?days=91")
    page.get_by_text("~V0~ why").first.wait_for()
    for number in range(1, SWAPS + 1):
        publish(demo_home / "published.duckdb", swapped.home / "published.duckdb", number)
        page.get_by_text(f"~V{number}~ why").first.wait_for(timeout=30_000)
        page.get_by_text(f"~V{number}~ name").last.wait_for()
    assert "days=91" in page.url
    page.close()
    seen = [each for each in told if each]
    assert seen.index(f"~V{SWAPS}~") > seen.index("~V0~")
    assert set(seen) == {f"~V{number}~" for number in range(SWAPS + 1)}, seen
    assert not [each for each in seen if re.search(r"~ ~", each)], "two publications side by side"


def test_without_a_publication_the_page_says_what_to_do_and_recovers(
    demo_home, tmp_path, browser
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for server in serve(home, tmp_path):
        page = browser.new_page()
        page.goto(server.url)
        page.get_by_text("nothing is published yet").wait_for()
        assert "customer-health demo" in page.inner_text("body")
        publish(demo_home / "published.duckdb", home / "published.duckdb", 1)
        page.get_by_text("~V1~ why").first.wait_for(timeout=30_000)
        page.close()
